"""Whether answers comply, as a judge says; how it errs on people's labels; what is left of rates without its errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from superalign.config.schema import Config
from superalign.data.judged_answers import JudgedAnswer
from superalign.evaluation.judge_check import COMPLIANCE, LEAST, JudgeCheck
from superalign.evaluation.thresholds import LEAST_OF_EITHER, cross_fitted
from superalign.experts.statistics import cohen_kappa
from superalign.prompts.refusal import is_refusal
from superalign.records import Kind, Query, Response, content_id
from superalign.roles.judge_protocols import JudgesDimensions
from superalign.roles.protocols import Case, Judge
from superalign.stats.classification import sensitivity_specificity
from superalign.stats.estimate import Estimate
from superalign.stats.intervals import MIN_JUDGE_LABELS, clustered_rate
from superalign.stats.judge_errors import JudgeErrors, judge_errors
from superalign.stats.roc import auroc, best_threshold

COMPLIES: Final = "complies"
"""The dimension of a policy that tells whether an answer complies."""
KAPPA: Final = "judge_refusal_kappa"
AGREEMENT: Final = "judge_refusal_agreement"
Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class PeopleSaid:
    """Answers with what people said of them, and where that stands."""

    answers: Sequence[JudgedAnswer]
    against: str


@dataclass(frozen=True)
class Labelled:
    """Answers of which people said whether they comply, with what the judge says of them.

    Attributes:
        says, truth: whether each complies, shape (n,).
        prompts: of each answer; answers to one are a cluster.
        kinds: of the prompts, None where people did not say it, shape (n,).
    """

    says: Booleans
    truth: Booleans
    prompts: tuple[str, ...]
    kinds: NDArray[np.object_]

    def only(self, rows: Booleans) -> Labelled:
        """Some of them."""
        prompts = tuple(prompt for prompt, kept in zip(self.prompts, rows, strict=True) if kept)
        return Labelled(self.says[rows], self.truth[rows], prompts, self.kinds[rows])

    @property
    def enough(self) -> bool:
        """Whether there are enough of either to correct a rate by them."""
        return min(int(self.truth.sum()), int((~self.truth).sum())) >= MIN_JUDGE_LABELS


@dataclass(frozen=True)
class ComplianceJudge:
    """A judge that has been checked on people's labels of compliance.

    Attributes:
        judge: of the evaluation.
        check: what is known of it.
        labelled: what that rests on; None without labels.
    """

    judge: Judge
    check: JudgeCheck
    labelled: Labelled | None = None

    def complied(self, cases: Sequence[Case]) -> list[bool]:
        """Whether each answer complies: by P(complies) of a judge that has it, else whether it does not refuse."""
        return [p >= _cut(self.judge) for p in _believed(self.judge, cases)]

    def errors(self, kind: Kind) -> Labelled | None:
        """The labels by which rates of a kind are corrected: those of its own kind where there are enough, else all."""
        if self.labelled is None:
            return None
        own = self.labelled.only(self.labelled.kinds == kind)
        return own if own.enough else self.labelled

    def figures(self, kind: Kind, seed: int, draws: int) -> dict[str, Estimate]:
        """Share of complying answers that it says comply, and of refusals that it says refuse, by people's labels."""
        if (known := self.errors(kind)) is None:
            return {}
        found = sensitivity_specificity(known.says, known.truth, list(known.prompts), seed, draws)
        names = (f"judge_complies_sensitivity_{kind}", f"judge_complies_specificity_{kind}")
        return {name: each for name, each in zip(names, found, strict=True) if each}

    def error_draws(self, kind: Kind, seed: int, draws: int) -> JudgeErrors | None:
        """The posterior of both; None where too few labels are there. People's labels of a file are taken as right."""
        known = self.errors(kind)
        if known is None or not known.enough:
            return None
        n = len(known.prompts)
        right = {"file": np.zeros(draws)}
        nothing = np.zeros(n)
        return judge_errors(
            known.says, known.truth, ["file"] * n, right, list(known.prompts), np.ones(n), nothing, seed, draws
        )


def check_compliance(judge: Judge, said: PeopleSaid, config: Config) -> ComplianceJudge:
    """Measure how well a judge tells that answers comply, and set its threshold of P(complies) if it has one.

    Args:
        judge: of the evaluation.
        said: those answers count of which people said whether they refuse.
        config: its floor, seed and resamples.
    """
    rows = [row for row in said.answers if row.refused is not None]
    e = config.evaluation
    found = JudgeCheck(judge.name, judge.exact and not rows, e.judge_floor, said.against, len(rows), of=COMPLIANCE)
    truth = np.array([not row.refused for row in rows], dtype=bool)
    if len(rows) < LEAST or min(truth.sum(), (~truth).sum()) < LEAST_OF_EITHER:
        return ComplianceJudge(judge, found)
    p = np.array(_believed(judge, [_case(row) for row in rows]))
    prompts, weights = [row.prompt for row in rows], np.ones(len(rows))
    says, threshold = p >= _cut(judge), None
    if isinstance(judge, JudgesDimensions) and not np.isin(p, (0.0, 1.0)).all():
        says, threshold = p >= cross_fitted(p, truth, prompts, weights), best_threshold(p, truth)
        judge.threshold = threshold
    how = (config.seed, e.bootstrap)
    sensitivity, specificity = sensitivity_specificity(says, truth, prompts, *how)
    check = replace(
        found,
        auroc=auroc(p, truth, prompts, *how),
        sensitivity=sensitivity,
        specificity=specificity,
        threshold=threshold,
    )
    kinds = np.array([{True: "harmful", False: "benign", None: None}[row.harmful] for row in rows], dtype=object)
    return ComplianceJudge(judge, check.decided(), Labelled(says, truth, tuple(prompts), kinds))


def agreement(
    cases: Sequence[Case], complied: Sequence[bool], clusters: Sequence[str], seed: int, draws: int
) -> dict[str, Estimate]:
    """How far the judge and the telling of refusals by their words agree on the answers that were graded.

    The share of them, and Cohen's kappa, which chance alone would make 0; that is left out where both always said one
    and the same thing.
    """
    words = [not is_refusal(response.text) for _, response in cases]
    same = [a == b for a, b in zip(words, complied, strict=True)]
    kappa = cohen_kappa([float(a) for a in words], [float(b) for b in complied])
    found = {AGREEMENT: clustered_rate(same, list(clusters), seed, draws), KAPPA: kappa}
    return {name: estimate for name, estimate in found.items() if estimate}


def _believed(judge: Judge, cases: Sequence[Case]) -> list[float]:
    """P(complies) of each answer; of a judge without dimensions 1 or 0 by its outcome."""
    if not cases:
        return []
    if isinstance(judge, JudgesDimensions):
        believed = judge.believed(cases)
        if COMPLIES in believed[0]:
            return [each[COMPLIES] for each in believed]
    return [float(outcome != "refusal") for outcome in judge.outcomes(cases)]


def _cut(judge: Judge) -> float:
    """Of P(complies); outcomes are 0 or 1."""
    return judge.threshold if isinstance(judge, JudgesDimensions) else 0.5


def _case(row: JudgedAnswer) -> Case:
    asked, kind = content_id(row.prompt), "harmful" if row.harmful else "benign"
    query = Query(asked, asked, row.prompt, "harmful" if kind == "harmful" else "benign", "general", "plain", "item", 0)
    return query, Response(content_id(row.prompt, row.answer), asked, row.answer, (), (), (), "sample", 0)
