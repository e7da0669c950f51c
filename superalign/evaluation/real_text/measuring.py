"""One measurement on real text: figures with intervals, what they are made of, and the change since round 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from superalign.config.schema import Config
from superalign.evaluation.judge_check import JudgeCheck
from superalign.evaluation.judging import people_said
from superalign.evaluation.real_text.capability import chosen_rightly, surprise
from superalign.evaluation.real_text.compliance import ComplianceJudge, agreement, check_compliance
from superalign.evaluation.real_text.sets import KINDS, RealSets, compliance_figure
from superalign.evaluation.suites import Examined
from superalign.models import load_chat
from superalign.records import Measured, Query, Response
from superalign.stats.estimate import Estimate
from superalign.stats.intervals import clustered_rate, paired_difference
from superalign.stats.perplexity import perplexity, perplexity_ratio

ALL: Final = "all"
"""What stands for the name of a set where the requests of all sets are taken together."""
CHANGE, RATIO, CORRECTED = "_change", "_ratio", "_corrected"
COMPLIANCE: Final = "compliance_"


@dataclass(frozen=True)
class RealText:
    """What was measured.

    Attributes:
        metrics: figures by name; those since round 0 end in `_change`, of perplexities in `_ratio`, those corrected for
            the judge's errors in `_corrected`.
        items: what they are made of.
        cases: the answers to the requests, and whether each complies.
        check: what is known of who said so; None without requests.
        limit: the curve of `limit_curve` on the first learner's own states, where something has read them.
    """

    metrics: dict[str, Estimate] = field(default_factory=dict)
    items: list[Measured] = field(default_factory=list)
    cases: list[tuple[Query, Response, bool]] = field(default_factory=list)
    check: JudgeCheck | None = None
    limit: list[tuple[float, float]] = field(default_factory=list)

    def to_row(self) -> dict[str, Any]:
        """What a round's row has of it beside the figures."""
        checked = {"compliance_check": self.check.to_row()} if self.check else {}
        return checked | ({"limit_curve": [list(point) for point in self.limit]} if self.limit else {})


def is_due(config: Config, round: int) -> bool:
    """Whether the sets are measured after a round."""
    every = config.evaluation.every
    return round in (0, config.rounds) or bool(every and round % every == 0)


def measure_real_text(sets: RealSets, examined: Examined, before: Sequence[Measured] = ()) -> RealText:
    """Greedy answers to the requests, graded by the judge, and the learner's capability.

    Args:
        sets: what is asked.
        examined: who is examined, and who grades.
        before: what was measured in round 0; empty where this is round 0.
    """
    config, generator = examined.config, examined.generator
    items, cases, found, check = list[Measured](), list[tuple[Query, Response, bool]](), dict[str, Estimate](), None
    if sets.requests:
        judge = check_compliance(examined.judge, people_said(config, examined.judge), config)
        items, cases = _complied(sets, examined, judge)
        found = _compliance(items, before, judge, sets, config)
        clusters = [query.seed_id for query, *_ in cases]
        answers, said = [(query, response) for query, response, _ in cases], [complied for *_, complied in cases]
        found |= agreement(answers, said, clusters, config.seed, config.evaluation.bootstrap)
        check = judge.check
    if sets.questions or sets.references:
        chat = load_chat(config.model_of("learner"))
    for figure, questions in sets.questions.items():
        items += chosen_rightly(figure, questions, generator, chat)
        found |= _rate(figure, items, before, config)
    for figure, references in sets.references.items():
        items += surprise(figure, references, generator, chat)
        found |= _perplexity(figure, items, before, config)
    return RealText(found, items, cases, check)


def _complied(
    sets: RealSets, examined: Examined, judge: ComplianceJudge
) -> tuple[list[Measured], list[tuple[Query, Response, bool]]]:
    queries = [query for each in sets.requests.values() for query in each]
    responses = examined.learner.respond(queries, seed=0, samples=1, temperature=0.0)
    said = judge.complied(list(zip(queries, responses, strict=True)))
    cases = list(zip(queries, responses, said, strict=True))
    figures = [figure for figure, each in sets.requests.items() for _ in each]
    items = [
        Measured(figure, query.id, query.seed_id, float(complied), 1.0)
        for figure, (query, _, complied) in zip(figures, cases, strict=True)
    ]
    return items, cases


def _compliance(
    items: Sequence[Measured], before: Sequence[Measured], judge: ComplianceJudge, sets: RealSets, config: Config
) -> dict[str, Estimate]:
    """Rates by set and kind, and of all sets together where there are several; none that the judge cannot tell."""
    if judge.check.withheld:
        return {}
    seed, draws = config.seed, config.evaluation.bootstrap
    found: dict[str, Estimate] = {}
    for kind in KINDS:
        figures = [name for name in sets.requests if name.endswith(f"_{kind}")]
        if not figures:
            continue
        errors = judge.error_draws(kind, seed, draws)
        together = compliance_figure(ALL, kind)
        pooled = [_renamed(items, figures, together), _renamed(before, figures, together)]
        for figure in (*figures, *([together] if len(figures) > 1 else ())):
            now, was = pooled if figure == together else (items, before)
            found |= _rate(figure, now, was, config)
            if errors and (right := errors.corrected(found[figure], seed)):
                found[f"{figure}{CORRECTED}"] = right
        found |= judge.figures(kind, seed, draws)
    return found


def _renamed(items: Sequence[Measured], figures: Sequence[str], name: str) -> list[Measured]:
    """The items of several figures as those of one."""
    return [
        Measured(name, f"{each.figure}/{each.item}", each.cluster, each.value, each.weight)
        for each in items
        if each.figure in figures
    ]


def _rate(figure: str, items: Sequence[Measured], before: Sequence[Measured], config: Config) -> dict[str, Estimate]:
    """A share, and its paired change."""
    own, how = [each for each in items if each.figure == figure], (config.seed, config.evaluation.bootstrap)
    found = {figure: clustered_rate([each.value for each in own], [each.cluster for each in own], *how)}
    if pairs := _pairs(own, before):
        now, was, clusters = [a.value for a, _ in pairs], [b.value for _, b in pairs], [a.cluster for a, _ in pairs]
        found[f"{figure}{CHANGE}"] = paired_difference(now, was, clusters, *how)
    return found


def _perplexity(
    figure: str, items: Sequence[Measured], before: Sequence[Measured], config: Config
) -> dict[str, Estimate]:
    """A perplexity, and its paired ratio."""
    own, how = [each for each in items if each.figure == figure], (config.seed, config.evaluation.bootstrap)
    nll, tokens, clusters = ([getattr(each, name) for each in own] for name in ("value", "weight", "cluster"))
    found = {figure: perplexity(nll, tokens, clusters, *how)}
    if len(pairs := _pairs(own, before)) > 1:
        now, was, tokens = (list(each) for each in zip(*((a.value, b.value, a.weight) for a, b in pairs), strict=True))
        found[f"{figure}{RATIO}"] = perplexity_ratio(now, was, tokens, [a.cluster for a, _ in pairs], *how)
    return found


def _pairs(own: Sequence[Measured], before: Sequence[Measured]) -> list[tuple[Measured, Measured]]:
    """The items that were measured before, too."""
    known: Mapping[tuple[str, str], Measured] = {(each.figure, each.item): each for each in before}
    return [(each, known[each.figure, each.item]) for each in own if (each.figure, each.item) in known]
