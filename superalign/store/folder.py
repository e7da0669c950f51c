"""The layout of a run folder, and reading one without taking its lock."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from superalign.errors import UserError
from superalign.store.disk import complete_lines
from superalign.store.pins import SECTIONS, Pinned

FORMAT: Final = 3
ROUND_NAME = re.compile(r"\d{4,}")


class RunFolder:
    """Paths and committed contents of one run.

    Attributes:
        folder: the run's folder; its name is the run's name.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def open(cls, run: str | Path, root: str | Path = "runs") -> RunFolder:
        """Open an existing run for reading, by its path or by its name under `root`.

        Raises:
            UserError: there is no such folder, it is no run, or another format version wrote it.
        """
        candidates = [Path(run), Path(root) / run]
        folder = next((path for path in candidates if path.is_dir()), None)
        if folder is None:
            known = sorted(path.parent.name for path in Path(root).glob("*/format"))
            hint = f"runs under {root}: {', '.join(known[-5:])}" if known else f"no runs under {root} yet"
            raise UserError(f"no run folder {run} ({hint})")
        opened = cls(folder)
        opened.check_format()
        return opened

    @property
    def name(self) -> str:
        """The run's name."""
        return self.folder.resolve().name

    @property
    def rounds_dir(self) -> Path:
        """Where the committed rounds lie."""
        return self.folder / "rounds"

    @property
    def log_dir(self) -> Path:
        """One log file per actor, and `driver.log`."""
        return self.folder / "logs"

    @property
    def experts_path(self) -> Path:
        """The queue of expert labels."""
        return self.folder / "experts.sqlite"

    @property
    def tensorboard_dir(self) -> Path:
        """Event files for TensorBoard."""
        return self.folder / "tensorboard"

    @property
    def report_path(self) -> Path:
        """The self-contained report page."""
        return self.folder / "report.html"

    @property
    def summary_path(self) -> Path:
        """The final figures; written once, when the run is complete."""
        return self.folder / "summary.json"

    def round_path(self, round: int) -> Path:
        """The folder of a committed round."""
        return self.rounds_dir / f"{round:04d}"

    def check_format(self) -> None:
        """Refuse a folder that is no run or that another format version wrote.

        Raises:
            UserError: as described; the message names the versions.
        """
        path = self.folder / "format"
        if not path.is_file():
            raise UserError(f"{self.folder} is no run folder (it has no file named format)")
        found = path.read_text(encoding="utf-8").strip()
        if found != str(FORMAT):
            raise UserError(
                f"{self.folder} has run format {found[:20]!r} and this superalign reads format {FORMAT}: "
                "open it with the version that wrote it, or start another run.name"
            )

    def rounds(self) -> list[int]:
        """The committed rounds in order; round 0 is the state before any training."""
        if not self.rounds_dir.is_dir():
            return []
        return sorted(int(path.name) for path in self.rounds_dir.iterdir() if ROUND_NAME.fullmatch(path.name))

    def last_round(self) -> int | None:
        """The newest committed round, None when there is none."""
        return max(self.rounds(), default=None)

    def config(self) -> dict[str, Any]:
        """The resolved configuration the run was started with."""
        return {key: value for key, value in self._config_file().items() if key not in SECTIONS}

    def located_config(self) -> dict[str, Any]:
        """`config`, with files and folders by their absolute paths: a run can be read from everywhere."""
        return self.pinned().locate(self.config())

    def pinned(self) -> Pinned:
        """What the run depends on beside its settings."""
        return Pinned.read(self._config_file())

    def _config_file(self) -> dict[str, Any]:
        import yaml

        # libyaml is seven times as fast; where PyYAML was built without it, its own loader reads the same.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        path = self.folder / "config.yaml"
        try:
            loaded = yaml.load(path.read_text(encoding="utf-8"), loader)
        except FileNotFoundError:
            raise UserError(f"{path} is missing: it was removed after the run began") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f"{path} is no readable YAML ({str(error).splitlines()[0]})") from None
        if not isinstance(loaded, dict):
            raise UserError(f"{path} holds no mapping: it was changed after the run began")
        return loaded

    def rows(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl, one per committed round."""
        return self._json_lines("metrics.jsonl")

    def samples(self) -> list[dict[str, Any]]:
        """The rows of samples.jsonl, their texts still sealed."""
        return self._json_lines("samples.jsonl")

    def events(self) -> list[dict[str, Any]]:
        """What happened to the run: started, resumed, an actor lost, complete."""
        return self._json_lines("events.jsonl")

    def summary(self) -> dict[str, Any] | None:
        """The final figures, None while the run is not complete."""
        if not self.summary_path.is_file():
            return None
        try:
            loaded: dict[str, Any] = json.loads(self.summary_path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise UserError(f"{self.summary_path} is no readable JSON ({error})") from None
        return loaded

    def _json_lines(self, name: str) -> list[dict[str, Any]]:
        rows = []
        for number, line in enumerate(complete_lines(self.folder / name), start=1):
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise UserError(
                    f"{self.folder / name} line {number} is no JSON ({error.msg}); resuming the run rewrites the file"
                ) from None
        return rows
