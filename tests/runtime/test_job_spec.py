"""Job specs: those that come with superalign are valid, and a mistake is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from superalign.config.compose import load
from superalign.config.paths import home
from superalign.errors import UserError
from superalign.runtime.job_spec import read

SHIPPED = sorted(path.stem for path in (home() / "recipes" / "jobs").glob("*.yaml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_job_spec_describes_a_valid_run_whose_driver_needs_no_gpu(name: str) -> None:
    spec = read(name)
    assert load(spec.overrides).recipe in name
    assert spec.driver.gpus == 0


def test_self_play_weak_to_strong_and_many_gpus_are_described() -> None:
    assert {"selfplay", "weak_to_strong", "selfplay_gpus"} <= set(SHIPPED)


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("overides: [seed=1]", "unknown key overides; did you mean overrides?"),
        ("driver: {gpu: 1}", "unknown key driver.gpu; did you mean driver.gpus?"),
        ("driver: {cpus: 0}", "driver.cpus=0: should be greater than 0"),
        ("seed=1", "is no job spec: it should have keys (overrides, python,"),
        ("overrides: [", "is no readable YAML"),
    ],
)
def test_a_mistake_in_a_file_is_named_with_the_file(text: str, fragment: str, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read(str(path))
    assert str(path) in str(caught.value) and fragment in str(caught.value)


def test_an_unknown_job_spec_is_named_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no job spec selfpaly; did you mean selfplay\?"):
        read("selfpaly")
