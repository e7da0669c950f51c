"""The check of critics: scores of points and pairs, critiques, learning, and what a committed round keeps of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from superalign.registry import CRITICS
from superalign.registry.protocols import missing
from superalign.roles.critic.verdicts import VerdictModel
from superalign.roles.protocols import (
    ACCEPTABLE,
    CriticBatch,
    Ensemble,
    Learns,
    Pair,
    Point,
    Score,
    Scorer,
    WritesCritiques,
)
from superalign.testing.complaints import Subject
from superalign.testing.testbed import Services, cases, couples, labelled, settings

NOISE: Final = 1e-2  # of log-odds, in nats: what another batch may change by rounding


def check_critic(plugin: str | type, given: Mapping[str, Any] | None = None) -> None:
    """Check a critic.

    It gives one score for each point and pair, with finite log-odds of `acceptable`: the same score for the same texts,
    whatever else is asked, and for a pair in the other order the opposite one. Where it criticises, it writes a text
    for each point; where it is an ensemble, its members score likewise; where it learns, another one that takes up its
    state scores as it does.

    Args:
        plugin: the class, or what `critic=` would be.
        given: its settings.

    Raises:
        AssertionError: what is wrong, in a sentence.
    """
    subject = Subject.of("critic", plugin)
    with subject.doing("set-up"):
        CRITICS.load(subject.name)
        services = Services.start(settings(critic={"kind": subject.name, **(given or {})}))
        verdicts = _verdicts(services)
    critic: Any = verdicts.critic
    points = [Point(query.text, response.text, query.category) for query, response in cases(4)]
    pairs = [Pair(query.text, first.text, second.text, query.category) for query, first, second in couples(cases(4))]
    _check_optional(subject, type(critic))
    _check_scores(subject, critic, points, pairs)
    if isinstance(critic, WritesCritiques):
        _check_critiques(subject, critic, points)
    if isinstance(critic, Learns):
        _check_learning(subject, critic, services, points, pairs)
    if isinstance(critic, Ensemble):
        with subject.doing("members()"):
            for member in critic.members():
                _scores(subject, member, points[:4], pairs[:4])
    _check_use(subject, verdicts)


def _verdicts(services: Services) -> VerdictModel:
    return VerdictModel(services.config, services.generator, services.trainer)


def _check_optional(subject: Subject, critic: type) -> None:
    """Complain of what has some methods of an optional protocol, and not all: the loop would pass it over."""
    for optional in (Learns, WritesCritiques, Ensemble):
        names = [name for name in vars(optional) if not name.startswith("_")]
        has = [name for name in names if hasattr(critic, name)]
        lacks = missing(critic, optional)
        subject.require(not has or not lacks, f"has {', '.join(has)}, but lacks {', '.join(lacks)}")


def _scores(subject: Subject, scorer: Scorer, points: Sequence[Point], pairs: Sequence[Pair]) -> list[float]:
    """The log-odds of `acceptable`, first of the points and then of the pairs."""
    with subject.doing("score_points(points)"):
        of_points = scorer.score_points(points)
    found = _log_odds(subject, "points", len(points), of_points)
    with subject.doing("score_pairs(pairs)"):
        of_pairs = scorer.score_pairs(pairs)
    return found + _log_odds(subject, "pairs", len(pairs), of_pairs)


def _log_odds(subject: Subject, what: str, asked: int, scores: Sequence[Score]) -> list[float]:
    subject.require(len(scores) == asked, f"gives {len(scores)} scores for {asked} {what}")
    for score in scores:
        subject.require(isinstance(score, Score), f"gives a {type(score).__name__} and no Score")
        said = ", ".join(score.log_odds) or "nothing"
        subject.require(ACCEPTABLE in score.log_odds, f"scores {said}, but not {ACCEPTABLE}, which the loop reads")
        wrong = {name: x for name, x in score.log_odds.items() if not math.isfinite(x)}
        subject.require(not wrong, f"gives log-odds that are not finite: {wrong}")
    return [score.log_odds[ACCEPTABLE] for score in scores]


def _check_scores(subject: Subject, critic: Scorer, points: Sequence[Point], pairs: Sequence[Pair]) -> None:
    _scores(subject, critic, [], [])
    found = _scores(subject, critic, points, pairs)
    subject.require(found == _scores(subject, critic, points, pairs), "scores the same texts otherwise the second time")
    alone = _scores(subject, critic, points[-1:], pairs[-1:])
    same = _close(alone, [found[len(points) - 1], found[-1]])
    subject.require(same, "scores a text otherwise when it is asked about alone")
    reversed_ = _scores(subject, critic, [], [Pair(p.query, p.second, p.first, p.category) for p in pairs])
    opposite = _close([-x for x in reversed_], found[len(points) :])
    subject.require(opposite, "does not give the opposite score to a pair in the other order: ask in both, and average")


def _check_critiques(subject: Subject, critic: WritesCritiques, points: Sequence[Point]) -> None:
    with subject.doing("critique(points, acceptable, seed)"):
        said = critic.critique(points, [n % 2 == 0 for n in range(len(points))], 0)
        nothing = critic.critique([], [], 0)
    subject.require(len(said) == len(points), f"writes {len(said)} critiques of {len(points)} answers")
    subject.require(all(isinstance(text, str) for text in said), "writes a critique that is no text")
    subject.require(nothing == [], "writes critiques of no answers")


def _check_learning(
    subject: Subject, critic: Any, services: Services, points: Sequence[Point], pairs: Sequence[Pair]
) -> None:
    fresh = critic.state()
    with subject.doing("restore(state())"):
        critic.restore(subject.through_json(fresh))
    for number, batch in enumerate((CriticBatch([], frozenset(), [], []), _batch())):
        with subject.doing(f"learn(batch, seed) from {len(batch.labelled)} labels"):
            subject.require_figures(critic.learn(batch, number), "learn(batch, seed)")
        services.sync("critic")
    learned = _scores(subject, critic, points, pairs)
    with subject.doing("restore(state) in another process"):
        other: Any = _verdicts(services).critic
        other.restore(subject.through_json(critic.state()))
    same = _close(learned, _scores(subject, other, points, pairs))
    subject.require(same, "scores otherwise after restore(state()): what it learned must be in its state or adapter")


def _batch() -> CriticBatch:
    found = cases(6)
    texts = [(query.text, response.text) for query, response in found]
    good = [(q.text, r.text) for q, r in cases(6, ("full",)) if q.kind == "benign"]
    return CriticBatch(labelled(found), frozenset(), good, texts)


def _check_use(subject: Subject, verdicts: VerdictModel) -> None:
    """What a round does with it."""
    found = cases(4)
    with subject.doing("a round"):
        points = verdicts.judge_points(found, 0)
        verdicts.judge_pairs(couples(found))
        verdicts.critique(found, points, 0)
        verdicts.learn(labelled(found), [], [], 0)
        verdicts.calibrate()
        verdicts.restore(subject.through_json(verdicts.state()), labelled(found))
        verdicts.heldout()


def _close(first: Sequence[float], second: Sequence[float]) -> bool:
    return all(abs(a - b) <= NOISE * max(1.0, abs(a)) for a, b in zip(first, second, strict=True))
