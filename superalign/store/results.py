"""Reading a run from Python: its rounds, preferences, adapters, and where a record came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superalign.errors import UserError, nearest
from superalign.records import Measured, Preference, Record
from superalign.stats.estimate import Estimate
from superalign.store.adapters import WEIGHTS
from superalign.store.folder import RunFolder
from superalign.store.lineage import TABLES, Lineage, lineage
from superalign.store.tables import read_if_written, schema_of

if TYPE_CHECKING:
    from datasets import Dataset


class Run:
    """A run, complete or under way, by its folder or by its name below runs/.

    Raises:
        UserError: there is no such run, or another format version wrote it.
    """

    def __init__(self, run: str | Path) -> None:
        self._folder = RunFolder.open(run)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def name(self) -> str:
        """The run's name."""
        return self._folder.name

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self._folder.folder

    @property
    def settings(self) -> dict[str, Any]:
        """All settings, nested as in config.yaml."""
        return self._folder.config()

    @property
    def rounds(self) -> list[Round]:
        """The rounds that are done, in order; of a recipe that trains, round 0 is the state before any training."""
        rows = {row["round"]: row for row in self._folder.rows()}
        return [Round(n, self._folder.round_path(n), rows.get(n, {})) for n in self._folder.rounds()]

    @property
    def summary(self) -> dict[str, Any] | None:
        """The contents of summary.json; None while the run is not complete."""
        return self._folder.summary()

    def preferences(self, round: int | None = None) -> Dataset:
        """What the learner was given to learn from, as TRL's trainers take it: of one round, or of all.

        Columns: prompt, chosen, rejected (lists of messages; a dialogue has several turns in its prompt), q (the
        probability that chosen is the better one), w (its weight), source (critic or expert), id, round.

        Raises:
            UserError: that round is not done.
        """
        from datasets import concatenate_datasets

        rounds = self.rounds if round is None else [self._round(round)]
        tables = [one.preferences() for one in rounds]
        found: Dataset = concatenate_datasets(tables) if tables else _preferences([], 0)
        return found

    def adapter(self, role: str = "learner", round: int | None = None) -> Path:
        """The folder of a role's adapter after a round, by default the last; peft loads it as it is.

        Raises:
            UserError: that round is not done, or has no adapter of this role.
        """
        chosen = self._round(round)
        folder = chosen.path / WEIGHTS / role
        if not (folder / "adapter_config.json").is_file():
            known = sorted(path.parent.name for path in (chosen.path / WEIGHTS).glob("*/adapter_config.json"))
            hint = f"{nearest(role, known)} (there is: {', '.join(known)})" if known else ""
            raise UserError(f"round {chosen.number} of {self.path} has no adapter of {role!r}{hint}")
        return folder

    def lineage(self, record_id: str) -> Lineage:
        """What a record came from and what it led to; the id is that of any record of the run.

        Raises:
            UserError: there is no such record.
        """
        return lineage(self._folder, record_id)

    def _round(self, number: int | None) -> Round:
        rounds = self.rounds
        if not rounds:
            raise UserError(f"{self.path} has committed no round yet")
        found = rounds[-1] if number is None else next((one for one in rounds if one.number == number), None)
        if found is None:
            raise UserError(f"{self.path} has no round {number}: the last is {rounds[-1].number}")
        return found


@dataclass(frozen=True, slots=True)
class Round:
    """A round that is done.

    Attributes:
        number: 0 comes before any training.
        path: its folder.
        row: its line of metrics.jsonl.
    """

    number: int
    path: Path
    row: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"Round({self.number}, {str(self.path)!r})"

    @property
    def metrics(self) -> dict[str, Estimate]:
        """The figures of the evaluation after this round, each with its 95 % interval."""
        parts = ("value", "low", "high", "n")
        return {
            name: Estimate(*(found[part] for part in parts))
            for name, found in self.row.get("metrics", {}).items()
            if isinstance(found, Mapping) and all(found.get(part) is not None for part in parts)
        }

    @property
    def counts(self) -> dict[str, int]:
        """How many records of some kinds there are, as the recipe counts them."""
        return dict(self.row.get("counts", {}))

    def queries(self) -> Dataset:
        """What the learner was asked."""
        return self._table("queries")

    def responses(self) -> Dataset:
        """What it answered, revisions among them."""
        return self._table("responses")

    def critiques(self) -> Dataset:
        """What the critic said of responses."""
        return self._table("critiques")

    def judgements(self) -> Dataset:
        """The critic's verdicts on responses and pairs of them."""
        return self._table("judgements")

    def labels(self) -> Dataset:
        """The experts' labels that this round took up."""
        return self._table("labels")

    def preferences(self) -> Dataset:
        """The preferences in TRL's columns; see `Run.preferences`."""
        return _preferences(read_if_written(self.path, "preferences", Preference), self.number)

    def measured(self) -> Dataset:
        """What the figures on real text are made of: figure, item, cluster, value, weight; empty where none were."""
        return self._table("evaluation", Measured)

    def _table(self, name: str, kind: type[Record] | None = None) -> Dataset:
        import pyarrow as pa
        from datasets import Dataset
        from datasets.table import InMemoryTable

        kind = kind or TABLES[name]
        rows = [record.to_row() for record in read_if_written(self.path, name, kind)]
        return Dataset(InMemoryTable(pa.Table.from_pylist(rows, schema=schema_of(kind))))


def _preferences(records: list[Preference], round: int) -> Dataset:
    """Preferences in TRL's conversational columns."""
    import pyarrow as pa
    from datasets import Dataset
    from datasets.table import InMemoryTable

    columns = ("prompt", "chosen", "rejected", "q", "w", "source", "id")
    table = pa.Table.from_pylist([record.to_row() for record in records], schema=schema_of(Preference))
    numbers = pa.array([round] * len(records), pa.int64())
    return Dataset(InMemoryTable(table.select(columns).append_column("round", numbers)))
