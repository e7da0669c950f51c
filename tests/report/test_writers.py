"""Trackers."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from superalign.config.sections import TrackConfig
from superalign.errors import UserError
from superalign.report.writers import MLflow, Trackio, Wandb, Writers, flatten, flatten_config
from superalign.store.folder import RunFolder

sys.path.insert(0, str(Path(__file__).parent))
from fixture_run import write_fixture


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard itself reads from its folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(e.step, round(e.value, 5)) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_a_row_flattens_to_group_and_name() -> None:
    row = {"round": 2, "metrics": {"x": {"value": 0.5, "low": 0.4, "high": None, "n": 3}}, "timing": {"sync": 1}}
    assert flatten(row) == {"metrics/x": 0.5, "metrics/x/low": 0.4, "metrics/x/n": 3.0, "timing/sync": 1.0}
    assert flatten_config({"a": {"b": 1, "c": {}}}) == {"a.b": "1", "a.c": "{}"}


def test_tensorboard_shows_every_round_once_after_a_resumption(tmp_path: Path) -> None:
    run = RunFolder.open(write_fixture(tmp_path, rounds=2))
    track = TrackConfig().model_dump()
    first = Writers.open(run, track)
    first.log(2, flatten(run.rows()[2]))
    first.close()
    Writers.open(run, track).close()
    assert scalars(run.tensorboard_dir)["metrics/helpfulness"] == [(0, 0.97), (1, 0.93), (2, 0.95)]


def test_tensorboard_needs_neither_torch_nor_tensorflow(tmp_path: Path) -> None:
    run = write_fixture(tmp_path, rounds=1)
    code = (
        "import sys\n"
        "from superalign.report.writers import Writers\n"
        "from superalign.store.folder import RunFolder\n"
        f"off = dict(wandb=False, mlflow=False, trackio=False)\n"
        f"Writers.open(RunFolder.open({str(run)!r}), off).close()\n"
        "assert not {'torch', 'tensorflow'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["wandb", "mlflow", "trackio"])
def test_a_tracker_that_is_not_installed_names_the_extra(tmp_path: Path, name: str) -> None:
    if importlib.util.find_spec(name):
        pytest.skip(f"{name} is installed here")
    run = RunFolder.open(write_fixture(tmp_path, stop_after=0))
    with pytest.raises(UserError, match=rf"track.{name}=true needs .* pip install 'superalign\[track\]'"):
        Writers.open(run, TrackConfig.model_validate({name: True}).model_dump())


@pytest.mark.parametrize("name", ["wandb", "mlflow", "trackio"])
def test_an_installed_tracker_takes_a_run_and_takes_it_up_again(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    run = RunFolder.open(write_fixture(tmp_path / "runs", rounds=1))
    for row in run.rows():
        writers = Writers.open(run, TrackConfig.model_validate({name: True}).model_dump())
        writers.log(row["round"], flatten(row))
        writers.close()


@pytest.mark.parametrize("tracker", [Wandb, MLflow, Trackio])
def test_no_tracker_is_told_a_password(tmp_path: Path, tracker: Callable[..., object]) -> None:
    secret = {
        "store": "postgresql+psycopg://ann:s3cret@127.0.0.1:9/db",
        "notify_webhook": "https://hooks.example/T0/s3cret",
        "notify_command": "tell --token s3cret",
    }
    run = RunFolder.open(write_fixture(tmp_path, stop_after=0, expert={"source": "queue", **secret}))
    service = MagicMock()
    service.MlflowClient().search_runs.return_value = []
    tracker(service, run, "mine")
    told = repr(service.mock_calls)
    assert "127.0.0.1:9/db" in told and "s3cret" not in told


def test_a_tracker_that_fails_later_does_not_end_the_run(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def log(self, round: int, metrics: object) -> None:
            raise OSError("connection reset")

        def close(self) -> None:
            raise OSError("connection reset")

    writers = Writers([Broken()])
    writers.log(3, {})
    writers.close()
    assert "Broken did not take round 3: connection reset" in caplog.text
