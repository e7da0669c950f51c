"""The probe critic: verdicts read from hidden states of a frozen model, one head for each dimension of the policy."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from superalign.config.sections import AdapterCriticConfig, ProbeCriticConfig
from superalign.config.texts import policy_of
from superalign.feedback.synthetic_flaws import planted_flaws
from superalign.prompts.reading import Unread
from superalign.roles.critic.generative import GenerativeCritic
from superalign.roles.probe import material
from superalign.roles.probe.features import Features
from superalign.roles.probe.heads import Head, Labels, fit
from superalign.roles.protocols import ACCEPTABLE, CriticBatch, Pair, Point, Score, Scorer, Services

Heads = Mapping[str, Head]


class ProbeCritic:
    """Reads its verdicts; whatever it says in words comes from the generative adapter, which it does not train.

    A dimension without labels of both answers is even odds: nothing is known of it.
    """

    def __init__(self, settings: ProbeCriticConfig, services: Services) -> None:
        config = services.config
        self.config, self.policy = settings, policy_of(config)
        self.features = Features(services, config.model_of("critic"), settings)
        self.words = GenerativeCritic(AdapterCriticConfig(max_new_tokens=settings.max_new_tokens), services)
        self._heads: dict[str, Head] = {}
        self._members: list[dict[str, Head]] = []
        self._asked: dict[str, bool] = {}

    def score_points(self, points: Sequence[Point]) -> list[Score]:
        """Log-odds of each dimension, in nats."""
        return self.read_points(points, self._heads)

    def score_pairs(self, pairs: Sequence[Pair]) -> list[Score]:
        """Differences of the log-odds of being acceptable; no order of the two can flip them."""
        return self.read_pairs(pairs, self._heads)

    def members(self) -> Iterator[Scorer]:
        """Heads that were fitted on resamples of the same requests."""
        yield from (_Member(self, heads) for heads in self._members)

    def read_points(self, points: Sequence[Point], heads: Heads) -> list[Score]:
        """What some heads make of each answer."""
        texts = [(p.query, p.response) for p in points]
        odds = {
            name: heads[name].log_odds(self.features.of(texts, dimension.of))
            if name in heads and texts
            else np.zeros(len(texts))
            for name, dimension in self.policy.dimensions.items()
        }
        return [Score({name: float(odds[name][i]) for name in odds}) for i in range(len(texts))]

    def read_pairs(self, pairs: Sequence[Pair], heads: Heads) -> list[Score]:
        """What some heads make of each pair."""
        texts = [Point(p.query, response) for p in pairs for response in (p.first, p.second)]
        worth = [self._acceptable(score) for score in self.read_points(texts, heads)]
        return [Score({ACCEPTABLE: worth[2 * i] - worth[2 * i + 1]}) for i in range(len(pairs))]

    def critique(
        self, points: Sequence[Point], acceptable: Sequence[bool], seed: int, faults: Sequence[str] = ()
    ) -> list[str]:
        """What the generative adapter says of each answer."""
        return self.words.critique(points, acceptable, seed, faults)

    def unread(self) -> Unread:
        """Critiques that could not be read since the last call."""
        return self.words.unread()

    def learn(self, batch: CriticBatch, seed: int) -> dict[str, float]:
        """Fit all heads anew: on labels, on what the kinds of seeds tell, and on what rules know of answers."""
        self._asked |= dict(batch.requests)
        labels, told = self._material(batch, seed)
        fitted = {
            name: fit(self._labels(name, examples), self.config.head, seed, self.config.members)
            for name, examples in labels.items()
            if self._labels(name, examples).teaches
        }
        self._heads = {name: head for name, (head, _) in fitted.items()}
        self._members = [
            {name: others[number] for name, (_, others) in fitted.items()} for number in range(self.config.members)
        ]
        rows = {f"{name}_rows": float(len(examples)) for name, examples in labels.items()}
        return rows | told | {"steps": float(bool(fitted))}

    def state(self) -> dict[str, Any]:
        """The heads, and the requests whose kinds it knows; floats survive JSON exactly."""
        return {
            "heads": {name: head.to_row() for name, head in self._heads.items()},
            "members": [{name: head.to_row() for name, head in heads.items()} for heads in self._members],
            "asked": list(self._asked.items())[-self.config.requests :],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up committed heads."""
        self._heads = {name: Head.from_row(row) for name, row in state["heads"].items()}
        self._members = [{n: Head.from_row(row) for n, row in heads.items()} for heads in state["members"]]
        self._asked = {text: bool(harmful) for text, harmful in state["asked"]}

    def _material(self, batch: CriticBatch, seed: int) -> tuple[material.Material, dict[str, float]]:
        """Examples by dimension, and how many labels and planted flaws are among them."""
        labels = material.labelled(self.policy, batch.labelled)
        count = sum(map(len, labels.values()))
        kept = list(self._asked.items())[-self.config.requests :] if self.config.requests else []
        said = {query: response for query, response in batch.replay}
        for name, examples in material.seeded(self.policy, kept, said).items():
            labels[name] += examples
        good = [(i.query, i.first) for i, label in batch.labelled if i.kind == "point" and label.value > 0.5]
        flaws = planted_flaws([*batch.clean, *good], random.Random(f"planted/{seed}"), self.config.subtle_flaws)
        rules = list(material.ruled(self.policy, batch.replay, list(islice(flaws, self.config.synthetic_flaws))))
        for name, example in rules:
            labels[name].append(example)
        return labels, {"expert_rows": float(count), "planted_rows": float(len(rules))}

    def _labels(self, name: str, examples: Sequence[material.Example]) -> Labels:
        texts = [(e.query, e.response) for e in examples]
        return Labels(
            self.features.of(texts, self.policy.dimensions[name].of),
            np.array([e.y for e in examples]),
            np.array([e.weight for e in examples]),
            [e.query for e in examples],
            np.array([e.weight == material.RULED for e in examples], dtype=bool),
        )

    def _acceptable(self, score: Score) -> float:
        return self.policy.log_odds(score.log_odds)


class _Member:
    """The same features, read by other heads."""

    def __init__(self, critic: ProbeCritic, heads: Heads) -> None:
        self.critic, self.heads = critic, heads

    def score_points(self, points: Sequence[Point]) -> list[Score]:
        return self.critic.read_points(points, self.heads)

    def score_pairs(self, pairs: Sequence[Pair]) -> list[Score]:
        return self.critic.read_pairs(pairs, self.heads)
