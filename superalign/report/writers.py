"""Trackers beside metrics.jsonl: TensorBoard always; W&B, MLflow and trackio where the configuration asks."""

from __future__ import annotations

import importlib
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from superalign.errors import UserError
from superalign.report.masking import without_secrets
from superalign.store.folder import RunFolder

log = logging.getLogger("superalign.track")


class Writer(Protocol):
    """Something that keeps flat metrics by round."""

    def log(self, round: int, metrics: Mapping[str, float]) -> None:
        """Keep one round's metrics."""

    def close(self) -> None:
        """Flush and let go."""


def flatten(row: Mapping[str, Any]) -> dict[str, float]:
    """A row of metrics.jsonl as `group/name` (an estimate also as `.../low` and `.../high`) to number."""
    return dict(_flat({key: value for key, value in row.items() if key != "round"}, ""))


def _flat(value: Any, path: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, path if key == "value" else f"{path}/{key}".strip("/"))
    elif isinstance(value, int | float):
        yield path, float(value)


class Writers:
    """All the trackers of a run as one."""

    def __init__(self, writers: list[Writer]) -> None:
        self._writers = writers

    @classmethod
    def open(cls, run: RunFolder, track: Mapping[str, Any]) -> Writers:
        """Open TensorBoard and whatever `track` (the configuration's section) switches on.

        TensorBoard's files are derived: they are written anew from the committed rounds, so that a resumed run shows
        every round once. The services take up the run of the same name again.

        Raises:
            UserError: a package is missing or a service refuses; the message says what to do.
        """
        makers: dict[str, Callable[[Any, RunFolder, str], Writer]] = {
            "wandb": Wandb,
            "mlflow": MLflow,
            "trackio": Trackio,
        }
        writers: list[Writer] = [TensorBoard(run.tensorboard_dir, run.rows())]
        try:
            for name, maker in makers.items():
                if track[name]:
                    module = _imported(name)
                    try:
                        writers.append(maker(module, run, track["project"]))
                    except Exception as error:
                        first = (str(error).strip() or type(error).__name__).splitlines()[0]
                        raise UserError(f"track.{name}=true, but {name} would not start: {first}") from error
        except BaseException:
            cls(writers).close()
            raise
        return cls(writers)

    def log(self, round: int, metrics: Mapping[str, float]) -> None:
        """Keep one round's metrics everywhere; a service that fails is a warning, for the run must not end by it."""
        for writer in self._writers:
            try:
                writer.log(round, metrics)
            except Exception as error:
                log.warning("%s did not take round %d: %s", type(writer).__name__, round, error)

    def close(self) -> None:
        """Close every tracker."""
        for writer in self._writers:
            try:
                writer.close()
            except Exception as error:
                log.warning("%s did not close: %s", type(writer).__name__, error)


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UserError(f"track.{name}=true needs the package {name}: pip install 'superalign[track]'") from None


class TensorBoard:
    """TensorBoard event files, written without torch or tensorflow."""

    def __init__(self, folder: Path, committed: list[dict[str, Any]]) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        shutil.rmtree(folder, ignore_errors=True)
        self._writer = EventFileWriter(str(folder))
        for row in committed:
            self.log(row["round"], flatten(row))

    def log(self, round: int, metrics: Mapping[str, float]) -> None:
        """Keep one round's metrics."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        self._writer.add_event(Event(wall_time=time.time(), step=round, summary=Summary(value=values)))
        self._writer.flush()

    def close(self) -> None:
        """Flush and close."""
        self._writer.close()


class Wandb:
    """Weights & Biases; offline by its own WANDB_MODE=offline."""

    def __init__(self, module: Any, run: RunFolder, project: str) -> None:
        config = without_secrets(run.config())
        self._run = module.init(
            project=project, name=run.name, id=run.name, resume="allow", dir=str(run.folder), config=config
        )

    def log(self, round: int, metrics: Mapping[str, float]) -> None:
        """Keep one round's metrics."""
        self._run.log(dict(metrics), step=round)

    def close(self) -> None:
        """Finish."""
        self._run.finish()


class MLflow:
    """MLflow; where to is told by its own MLFLOW_TRACKING_URI."""

    def __init__(self, module: Any, run: RunFolder, project: str) -> None:
        self._client = module.MlflowClient()
        found = self._client.get_experiment_by_name(project)
        experiment = found.experiment_id if found else self._client.create_experiment(project)
        name = run.name.replace("'", "")
        earlier = self._client.search_runs([experiment], f"attributes.run_name = '{name}'", max_results=1)
        fresh = None if earlier else self._client.create_run(experiment, run_name=name)
        self._id = earlier[0].info.run_id if earlier else fresh.info.run_id  # type: ignore[union-attr]
        if fresh:
            for key, value in flatten_config(without_secrets(run.config())).items():
                self._client.log_param(self._id, key, value)

    def log(self, round: int, metrics: Mapping[str, float]) -> None:
        """Keep one round's metrics."""
        for name, value in metrics.items():
            self._client.log_metric(self._id, name, value, step=round)

    def close(self) -> None:
        """Mark the run as ended."""
        self._client.set_terminated(self._id)


class Trackio:
    """trackio: a local dashboard."""

    def __init__(self, module: Any, run: RunFolder, project: str) -> None:
        config = without_secrets(run.config())
        self._run = module.init(project=project, name=run.name, resume="allow", config=config)

    def log(self, round: int, metrics: Mapping[str, float]) -> None:
        """Keep one round's metrics."""
        self._run.log(dict(metrics), step=round)

    def close(self) -> None:
        """Finish."""
        self._run.finish()


def flatten_config(config: Mapping[str, Any], path: str = "") -> dict[str, str]:
    """A nested configuration as `section.key` to text."""
    flat: dict[str, str] = {}
    for key, value in config.items():
        name = f"{path}.{key}".strip(".")
        flat |= flatten_config(value, name) if isinstance(value, Mapping) and value else {name: str(value)}
    return flat
