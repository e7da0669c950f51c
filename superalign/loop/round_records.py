"""Everything that a round produces, on its way to the round's folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from superalign.evaluation.real_text.measuring import RealText
from superalign.loop.real_text import save_measured
from superalign.records import Critique, ExpertLabel, Judgement, Preference, Query, Response
from superalign.roles.protocols import Case
from superalign.store.tables import write_records


@dataclass
class RoundRecords:
    """The records of one round, the figures of its training by role, and what was measured on real text after it."""

    number: int
    queries: list[Query] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)
    critiques: list[Critique] = field(default_factory=list)
    judgements: list[Judgement] = field(default_factory=list)
    labels: list[ExpertLabel] = field(default_factory=list)
    preferences: list[Preference] = field(default_factory=list)
    failures: dict[str, list[float]] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    real: RealText = field(default_factory=RealText)

    def save(self, folder: Path) -> None:
        """Write the records as parquet tables."""
        write_records(folder, "queries", Query, self.queries)
        write_records(folder, "responses", Response, self.responses)
        write_records(folder, "critiques", Critique, self.critiques)
        write_records(folder, "judgements", Judgement, self.judgements)
        write_records(folder, "labels", ExpertLabel, self.labels)
        write_records(folder, "preferences", Preference, self.preferences)
        save_measured(folder, self.real)

    @property
    def own_answers(self) -> list[Case]:
        """What the learner answered by itself, without revisions, each with its query."""
        asked = {query.id: query for query in self.queries}
        return [(asked[r.query_id], r) for r in self.responses if r.origin == "sample"]

    def counts(self) -> dict[str, int]:
        """How many there are of what a report counts."""
        return {
            "expert_labels": len(self.labels),
            "queries": len(self.queries),
            "pairs": sum(judgement.kind == "pair" for judgement in self.judgements),
            "preferences": len(self.preferences),
        }
