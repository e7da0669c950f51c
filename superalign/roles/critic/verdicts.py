"""The critic as the loop uses it: its scores as calibrated judgements, with variance, abstention and provenance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from superalign.config.schema import Config
from superalign.config.sections import AdapterCriticConfig
from superalign.config.texts import policy_of, prompts_of
from superalign.feedback.calibration import Calibrator
from superalign.generation.base import Generator
from superalign.prompts.reading import Unread
from superalign.records import (
    Critique,
    ExpertLabel,
    Judgement,
    JudgementKind,
    Query,
    Response,
    by_dimension,
    content_id,
    dimension_values,
)
from superalign.registry import CRITICS
from superalign.roles.critic.composition import Composition, Labelled
from superalign.roles.critic.critiques import critique_of
from superalign.roles.critic.held_labels import HeldLabels
from superalign.roles.critic.uncertainty import squared_deviation
from superalign.roles.protocols import (
    ACCEPTABLE,
    Case,
    CountsUnread,
    CriticBatch,
    Ensemble,
    GivesHiddenStates,
    Learns,
    Pair,
    Point,
    Score,
    Scorer,
    Services,
    WritesCritiques,
)
from superalign.stats.annotators import annotator_errors
from superalign.stats.labelled_set import LabelledSet
from superalign.training.base import Trainer

ResponsePair = tuple[Query, Response, Response]


class Believed(NamedTuple):
    """What a critic believes of an answer: log-odds of acceptable, their variance, the dimensions that compose them."""

    logit: float
    variance: float
    dimensions: Mapping[str, float]


class VerdictModel:
    """Judges points and pairs by what its critic scores, and is calibrated on labels held back from that critic."""

    def __init__(
        self,
        config: Config,
        generator: Generator,
        trainer: Trainer | None,
        role: str = "critic",
        kind: str | None = None,
        states: GivesHiddenStates | None = None,
    ) -> None:
        """The critic of the settings, or the one named by `kind`; without a trainer it can judge but not learn.

        `states` gives hidden states, by default the generator.
        """
        self.config, self.role, self.generator = config.critic, role, generator
        self.kind = kind or config.critic.kind
        own = isinstance(config.critic, AdapterCriticConfig) or self.kind == config.critic.kind
        settings = config.critic if own else AdapterCriticConfig(max_new_tokens=config.critic.max_new_tokens)
        self.critic = CRITICS.load(self.kind)(settings, Services(config, generator, trainer, role, states or generator))
        self.policy, self.prompts = policy_of(config), prompts_of(config)
        self.composed = Composition(self.policy, self.kind)
        self.held = HeldLabels(config.critic, self.critic, self.composed)
        self.calibrators: dict[JudgementKind, Calibrator] = {"point": Calibrator(), "pair": Calibrator()}
        self._labelled: list[Labelled] = []

    def judge_points(self, cases: Sequence[Case], seed: int) -> list[Judgement]:
        """P(acceptable) of each response; `seed` is for placebos, a critic's own verdicts need none."""
        found = self._believed([Point(q.text, r.text, q.category) for q, r in cases], seed)
        version, out = self.generator.versions()[self.role], []
        for (query, response), believed in zip(cases, found, strict=True):
            p = self.calibrators["point"].apply(believed.logit, query.category)
            about = query, (response.id,), believed.logit, p, believed.variance, version
            out.append(self._judgement(*about, dimensions=believed.dimensions or {ACCEPTABLE: p}))
        return out

    def judge_pairs(self, pairs: Sequence[ResponsePair]) -> list[Judgement]:
        """P(first better) of each pair: the mean of two views, with their variance.

        One view compares, in both orders where the critic does so: (p_AB + 1 - p_BA)/2, calibrated; orders that
        contradict each other are a flip, and a flip abstains. The other is implied by the two point verdicts a and b,
        told apart by the odds that just one is acceptable: a(1-b) / (a(1-b) + b(1-a)).
        """
        texts = [Pair(q.text, a.text, b.text, q.category) for q, a, b in pairs]
        compared, views = self._views(self.critic, texts)
        means = [(direct + implied) / 2 for direct, implied in views]
        others = [[(d + i) / 2 for d, i in self._views(member, texts)[1]] for member in self._members()]
        spread = squared_deviation(means, others)
        version, out = self.generator.versions()[self.role], []
        for i, (query, first, second) in enumerate(pairs):
            (direct, implied), logit = views[i], self.composed.whole(compared[i])
            variance = max((direct - implied) ** 2 / 4, spread[i])
            flip, ids = compared[i].contradictory, (first.id, second.id)
            out.append(self._judgement(query, ids, logit, means[i], variance, version, flip))
        return out

    def label_pairs(self, pairs: Sequence[ResponsePair], seed: int) -> list[Judgement]:
        """The verdicts on pairs that the learner learns from; `seed` is for placebos."""
        return self.judge_pairs(pairs)

    def votes(self, labels: Sequence[ExpertLabel]) -> list[ExpertLabel]:
        """The experts' labels that are fused with these verdicts."""
        return list(labels)

    def critique(self, cases: Sequence[Case], verdicts: Sequence[Judgement], seed: int) -> list[Critique]:
        """A critique of each response that justifies the calibrated verdict; of a critic without words the verdict."""
        accepted, faults = [v.p >= 0.5 for v in verdicts], [self.fault(v) for v in verdicts]
        if isinstance(self.critic, WritesCritiques):
            said = self.critic.critique([Point(q.text, r.text, q.category) for q, r in cases], accepted, seed, faults)
        else:
            said = [self._wordless(yes, fault) for yes, fault in zip(accepted, faults, strict=True)]
        version = self.generator.versions()[self.role]
        return [critique_of(response, text, version) for (_, response), text in zip(cases, said, strict=True)]

    def fault(self, verdict: Judgement) -> str:
        """What the policy calls the likeliest fault of an answer that is not accepted; empty of others."""
        return "" if verdict.p >= 0.5 else self.policy.fault(by_dimension(verdict.dimensions))

    def contrast(self, verdict: Judgement) -> str:
        """The fault that an accepted answer would have if its request were not what it is."""
        return self.policy.contrast(by_dimension(verdict.dimensions)) if verdict.p >= 0.5 else ""

    def unread(self) -> Unread:
        """What the critic wrote since the last call that could not be read."""
        return self.critic.unread() if isinstance(self.critic, CountsUnread) else {}

    def learn(
        self,
        answered: Sequence[Labelled],
        clean: Sequence[tuple[str, str]],
        replay: Sequence[tuple[str, str]],
        seed: int,
        requests: Sequence[tuple[str, bool]] = (),
    ) -> dict[str, float]:
        """Have the critic learn from the experts' labels so far; those held back it never sees.

        Args:
            answered: every label so far with its item; those whose item's hash falls into `calibration_share` are
                held back.
            clean: (query, response) texts believed to be good.
            replay: (query, response) texts of this round.
            seed: seed of the training phase.
            requests: (request, whether it is of harmful intent) of this round.
        """
        known = frozenset(item.id for item, _ in self._labelled)
        self._labelled = list(answered)
        if not isinstance(self.critic, Learns):
            return {}
        training = [pair for pair in self._labelled if not self.held.holds(pair[0])]
        fresh = self._unlabelled(dict.fromkeys(replay))
        return self.critic.learn(CriticBatch(training, known, self._unlabelled(clean), fresh, requests), seed)

    def calibrate(self, errors: Mapping[str, float] | None = None) -> dict[str, float]:
        """Fit both calibrators on the held-back labels, judged by the critic as it is now.

        `errors` are eps of the annotators; by default they are told from blind doubles alone.
        """
        held = self.held.withheld(self._labelled)
        sizes: dict[str, float] = {}
        if errors is None:
            errors = annotator_errors(label for _, label in self._labelled)
        self.composed.fit(self.critic, held, errors)
        for kind in ("point", "pair"):
            mine = [(item, label) for item, label in held if item.kind == kind]
            self.calibrators[kind], _ = self.held.calibrated(mine, self._labelled, errors)
            sizes[f"calibration_{kind}s"] = float(len(mine))
        return sizes

    def examined(
        self, answered: Sequence[Labelled], errors: Mapping[str, float] | None = None
    ) -> tuple[list[float], list[float], list[str], list[float]]:
        """(p, label, query id, weight) of the point labels that are held back; see `HeldLabels.examined`."""
        return self.held.examined(answered, errors)

    def probabilities(self, cases: Sequence[tuple[str, str, str]]) -> list[float]:
        """Calibrated P(acceptable) of (query, response, category) texts, never shuffled."""
        points = [Point(*case) for case in cases]
        logits = self._point_logits(self.critic, points)
        return [self.calibrators["point"].apply(x, p.category) for x, p in zip(logits, points, strict=True)]

    def heldout(self) -> tuple[LabelledSet, list[float]]:
        """The point items held back from training, and the critic's probabilities; see `HeldLabels.heldout`."""
        return self.held.heldout(self._labelled)

    def state(self) -> dict[str, Any]:
        """What a committed round keeps of this role beside its adapter: the calibration, and what the critic keeps."""
        own = self.critic.state() if isinstance(self.critic, Learns) else {}
        return {
            **{kind: calibrator.to_row() for kind, calibrator in self.calibrators.items()},
            "dimensions": self.composed.state(),
            "critic": own,
        }

    def restore(self, state: Mapping[str, Any], answered: Sequence[Labelled]) -> None:
        """Take up a committed state."""
        self.calibrators = {"point": Calibrator.from_row(state["point"]), "pair": Calibrator.from_row(state["pair"])}
        self.composed.restore(state["dimensions"])
        self._labelled = list(answered)
        if isinstance(self.critic, Learns):
            self.critic.restore(state.get("critic", {}))

    def _judgement(
        self,
        query: Query,
        ids: tuple[str, ...],
        logit: float,
        p: float,
        variance: float,
        version: int,
        flip: bool = False,
        dimensions: Mapping[str, float] | None = None,
    ) -> Judgement:
        """The record of a verdict on one response or two; what is near 1/2 or contradicts itself abstains."""
        kind: JudgementKind = "point" if len(ids) == 1 else "pair"
        first, second = (*ids, "")[:2]
        abstains = flip or abs(p - 0.5) < self.config.abstain
        about = content_id(kind, *ids), kind, query.id, first, second, query.category
        told = dimension_values(dimensions or {})
        return Judgement(*about, logit, p, variance, flip, abstains, version, told)

    def _believed(self, points: Sequence[Point], seed: int) -> list[Believed]:
        """What the critic believes of each answer, and how far its members are from it (0 without any)."""
        scores = self.composed.scores(self.critic, points)
        logits, categories = [logit for logit, _ in scores], [point.category for point in points]

        def probabilities(found: Sequence[float]) -> list[float]:
            return [float(p) for p in self.calibrators["point"].apply_all(found, categories)]

        others = [probabilities(self._point_logits(member, points)) for member in self._members()]
        spread = squared_deviation(probabilities(logits), others)
        return [Believed(logit, v, p) for (logit, p), v in zip(scores, spread, strict=True)]

    def _views(self, scorer: Scorer, pairs: Sequence[Pair]) -> tuple[list[Score], list[tuple[float, float]]]:
        """The raw comparisons, and both views' probabilities: compared, and implied by the points."""
        compared = scorer.score_pairs(pairs)
        points = self._point_logits(scorer, [Point(p.query, r, p.category) for p in pairs for r in (p.first, p.second)])
        views = []
        for i, (pair, score) in enumerate(zip(pairs, compared, strict=True)):
            direct = self.calibrators["pair"].apply(self.composed.whole(score), pair.category)
            first, second = (self.calibrators["point"].apply(x, pair.category) for x in points[2 * i : 2 * i + 2])
            implied = first * (1 - second) / max(first * (1 - second) + second * (1 - first), 1e-6)
            views.append((direct, implied))
        return compared, views

    def _members(self) -> Iterable[Scorer]:
        return self.critic.members() if isinstance(self.critic, Ensemble) else ()

    def _point_logits(self, scorer: Scorer, points: Sequence[Point]) -> list[float]:
        """Log-odds that an answer is acceptable; equal texts are scored once."""
        return [logit for logit, _ in self.composed.scores(scorer, points)]

    def _wordless(self, accepted: bool, fault: str) -> str:
        """The verdict of a critic that writes nothing: what the policy says of the fault, or the verdict's word."""
        return self.policy.faults[fault].says if fault else f"{self.prompts.acceptable[not accepted]}."

    def _unlabelled(self, texts: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """The (query, response) texts that no expert has answered about, of items held back or not."""
        labelled = {(item.query, text) for item, _ in self._labelled for text in (item.first, item.second)}
        return [text for text in texts if text not in labelled]
