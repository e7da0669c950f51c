"""What was understood of a source of data, for people to check before anything is trained on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

from superalign.data.clusters import MOST, Clusters
from superalign.data.forms import Table, shown
from superalign.stats.text_similarity import SIMILARITY
from superalign.store.redaction import placeholder
from superalign.store.run_writer import RunWriter

FIRST: Final = 3  # requests that are shown, covered
FILES: Final = 4  # of a folder that are named


@dataclass(frozen=True, slots=True)
class DataSummary:
    """What was read, and what became of it.

    Attributes:
        setting: what names the source.
        source: file, folder or hub name.
        what: its rows are called so.
        forms: form and encoding of each file.
        layouts: how rows were understood, a line for each way.
        rows: that were read, empty ones too.
        counts: what they became, for example `harmful`.
        left_out: how many of them were left out, by reason.
        places: where the first of these is, by reason.
        notes: further lines.
        splits: sizes by name.
        first: the first requests, covered.
    """

    setting: str
    source: str
    what: str
    forms: Mapping[str, str] = field(default_factory=dict)
    layouts: Sequence[str] = ()
    rows: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    splits: Mapping[str, int] = field(default_factory=dict)
    first: Sequence[str] = ()

    def lines(self) -> list[str]:
        """The summary for people, without any text of the source."""
        head = f"{self.setting}={self.source}"
        sizes = ", ".join(f"{count:,} {name}" for name, count in self.splits.items())
        if not self.forms:
            return [f"{head}: {sum(self.splits.values()):,} {self.what}: {sizes}"]
        files = [f"{name}: {form}" if len(self.forms) > 1 else form for name, form in self.forms.items()]
        more = f"; and {len(files) - FILES} more files" if len(files) > FILES else ""
        left = ", ".join(f"{count:,} {reason}{self._place(reason)}" for reason, count in self.left_out.items() if count)
        kinds = ", ".join(f"{count:,} {name}" for name, count in self.counts.items())
        lines = [f"{head}: {'; '.join(files[:FILES])}{more}", *self.layouts]
        lines.append(f"{self.rows:,} rows: {kinds}" + (f"; left out: {left}" if left else ""))
        lines += self.notes
        lines.append(f"{self.what}: {sizes}; the first, covered: {', '.join(self.first)}")
        return [lines[0], *(f"  {line}" for line in lines[1:])]

    def _place(self, reason: str) -> str:
        """Where the first row is that was left out for a reason, if that is known."""
        place = self.places.get(reason)
        if place is None:
            return ""
        name = next(iter(self.forms)) if len(self.forms) == 1 else ""
        return f" (the first in {place.removeprefix(name).strip()})"

    def tell(self, run: RunWriter) -> None:
        """Print it, and keep it among the events of a run."""
        for line in self.lines():
            run.progress.say(line)
        run.event("data", **asdict(self))


def covered(texts: Iterable[str]) -> list[str]:
    """The first of some texts, each as its number of words."""
    return [placeholder(text) for text, _ in zip(texts, range(FIRST), strict=False)]


def table_notes(tables: Sequence[Table], unread: Sequence[str]) -> list[str]:
    """What there is to say of files: letters that were replaced, names that come twice, files that are not read."""
    notes = []
    if replaced := sum(table.replaced for table in tables):
        notes.append(f"halves of surrogate pairs (cut emoji) that became U+FFFD: {replaced:,}")
    for table in tables:
        if table.twice:
            notes.append(f"{table.name}: two columns are called {shown(sorted(table.twice))}, which is not read")
    if unread:
        notes.append(f"not read: {shown(unread)}")
    return notes


def cluster_notes(found: Clusters, what: str) -> list[str]:
    """How near-duplicates were kept on one side of the split, and where that was not possible."""
    notes = []
    if found.count < len(found.of):
        notes.append(
            f"near-duplicates (cosine at least {SIMILARITY:g}) stay on one side of the split: {len(found.of):,} "
            f"different {what}, clusters of them: {found.count:,}"
        )
    if found.trained_on:
        notes.append(
            f"{found.trained_on:,} {what} are clusters of near-duplicates too large to be held out: all are trained on"
        )
    if len(found.of) > MOST:
        notes.append(
            f"{len(found.of):,} {what} are too many to compare every pair (more than {MOST:,}): only those that differ "
            "in case and spaces stay together, other near-duplicates can be on both sides of the split"
        )
    elif found.cut:
        notes.append(
            f"{found.cut:,} {what} are chains of near-duplicates too long for one side of the split: they were cut, so "
            "that held-out ones resemble some that are trained on"
        )
    return notes
