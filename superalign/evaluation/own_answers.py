"""The critic on what it judges: the learner's own answers of a round, beside synthetic ones made to be told apart."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

from superalign.evaluation.critics import critic_figures
from superalign.evaluation.harness import is_correct
from superalign.roles.critic.verdicts import VerdictModel
from superalign.roles.protocols import Case, Judge
from superalign.stats.estimate import Estimate
from superalign.stats.labelled_set import LabelledSet

OWN = "_own"
"""What the names of these figures end in."""
SHOWN = ("critic_accuracy", "critic_sensitivity", "critic_specificity", "critic_auroc", "critic_ece")
AGAINST = "the judge's verdicts on the learner's own answers of the round"


def own_figures(
    critic: VerdictModel,
    cases: Sequence[Case],
    judge: Judge,
    answered: Collection[tuple[str, str]],
    most: int,
    seed: int,
    draws: int,
) -> tuple[dict[str, Estimate], str]:
    """Accuracy, sensitivity, specificity, AUROC and calibration error on the learner's own answers.

    Where the judge is exact, it grades the round's distinct answers, without those that experts answered about, for
    the critic may have learned from these. Elsewhere experts' labels that were held back from the critic are taken as
    right; they are about its own answers, too.

    Args:
        critic: as it is now.
        cases: the learner's answers of a round.
        judge: of the evaluation.
        answered: (query, answer) texts that experts have answered about.
        most: answers that are looked at; of more, so many are drawn at random.
        seed, draws: of the intervals and the drawing.

    Returns:
        The figures by name, and whose verdicts they are measured against; no figures without answers.
    """
    if not judge.exact:
        exam, p = critic.heldout()
    else:
        exam = _graded(cases, judge, answered, most, seed)
        p = critic.probabilities(exam.cases)
    if not p:
        return {}, exam.against
    found = critic_figures(p, exam, seed, draws)
    return {f"{name}{OWN}": found[name] for name in SHOWN if name in found}, exam.against


def _graded(
    cases: Sequence[Case], judge: Judge, answered: Collection[tuple[str, str]], most: int, seed: int
) -> LabelledSet:
    """The distinct answers with the judge's verdicts, by seed request."""
    distinct = {(q.text, r.text): (q, r) for q, r in cases if (q.text, r.text) not in answered}
    chosen = list(distinct.values())
    if len(chosen) > most:
        chosen = random.Random(f"own answers/{seed}").sample(chosen, most)
    outcomes = judge.outcomes(chosen)
    truth = [float(is_correct(q, outcome)) for (q, _), outcome in zip(chosen, outcomes, strict=True)]
    return LabelledSet(
        AGAINST, [(q.text, r.text, q.category) for q, r in chosen], truth, [q.seed_id for q, _ in chosen]
    )
