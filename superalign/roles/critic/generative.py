"""The generative critic: verdicts from the logits of verdict words, critiques that quote, and how it learns both."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import islice
from typing import Any

from superalign.config.sections import AdapterCriticConfig
from superalign.config.texts import policy_of, prompts_of
from superalign.experts.items import Item
from superalign.feedback.synthetic_flaws import planted_flaws
from superalign.generation.base import GenerationRequest
from superalign.models import load_chat
from superalign.prompts.asks import Messages
from superalign.prompts.reading import Reading, Unread
from superalign.records import ExpertLabel
from superalign.roles.critic import critique_rl
from superalign.roles.critic.composition import Labelled, told
from superalign.roles.critic.uncertainty import Ask, as_asked, asks
from superalign.roles.critic.yes_no import sigmoid, yes_no_log_odds
from superalign.roles.protocols import ACCEPTABLE, CriticBatch, Pair, Point, Score, Scorer, Services
from superalign.training.algorithms.sft import REFERENCE
from superalign.training.base import Phase

FROZEN = "judge"  # the role whose adapter is never trained
ROWS_OF_A_FLAW = 4  # the answer alone, the flawed one alone, both in either order
SHORT = 8  # a critique does not begin with words that take more than this part of the context
Texts = tuple[str, str]  # a query and a response


class GenerativeCritic:
    """One adapter that judges, explains its verdicts in critiques, and learns both."""

    def __init__(self, settings: AdapterCriticConfig, services: Services) -> None:
        self.config, self.services = settings, services
        self.role, self.generator, self.trainer = services.role, services.generator, services.trainer
        self.chat, self.prompts = load_chat(services.config.model_of("critic")), prompts_of(services.config)
        self.policy, self.reading = policy_of(services.config), Reading()

    def score_points(self, points: Sequence[Point]) -> list[Score]:
        """Log-odds of the verdict words for each answer."""
        return self.ask_points(points, as_asked)

    def score_pairs(self, pairs: Sequence[Pair]) -> list[Score]:
        """Log-odds of (p_AB + 1 - p_BA)/2, the mean over both orders; orders that contradict each other are marked."""
        return self.ask_pairs(pairs, as_asked)

    def members(self) -> Iterator[Scorer]:
        """The critic asked in other words, or without some ranks of its adapter (`critic.variance`)."""
        for ask in asks(self.config, self.role, self.generator, self.trainer):
            yield _Asked(self, ask)

    def ask_points(self, points: Sequence[Point], ask: Ask) -> list[Score]:
        """`score_points` with the questions put as `ask` does."""
        texts = [(p.query, p.response) for p in points]
        odds = {name: self._point_logits(texts, self.role, ask, name) for name in self.dimensions}
        return [Score({name: odds[name][i] for name in odds}) for i in range(len(texts))]

    @property
    def dimensions(self) -> tuple[str, ...]:
        """What is asked about an answer: each dimension of the policy, or the whole where that is all there is."""
        return (ACCEPTABLE,) if self.policy.single else tuple(self.policy.dimensions)

    def word_probabilities(self, points: Sequence[Point]) -> list[tuple[float, float]]:
        """Of each answer the log-probabilities of the two verdict words as the next token, over all tokens (nats)."""
        texts = [(p.query, p.response) for p in points]
        unique = list(dict.fromkeys(texts))
        self._prepare(unique)
        asked = [tuple(self._prompt(self._point_messages(*text, self.role))) for text in unique]
        words = list(self._words(self.prompts.acceptable))
        found = self.generator.choice_logits(self.role, asked, words)
        both = {text: (yes, no) for text, (yes, no) in zip(unique, found, strict=True)}
        return [both[text] for text in texts]

    def ask_pairs(self, pairs: Sequence[Pair], ask: Ask) -> list[Score]:
        """`score_pairs` with the question put as `ask` does."""
        orders = [t for p in pairs for t in ((p.query, p.first, p.second), (p.query, p.second, p.first))]
        unique = list(dict.fromkeys(orders))
        self._prepare([(query, first) for query, first, _ in unique])
        asked = [tuple(self._prompt(ask(self._pair_messages(*text)))) for text in unique]
        found = yes_no_log_odds(self.generator, self.role, asked, self._words(self.prompts.compare.words))
        first = {text: sigmoid(odds) for text, odds in zip(unique, found, strict=True)}
        scores = []
        for query, a, b, _ in pairs:
            p_ab, p_ba = first[query, a, b], first[query, b, a]
            p = min(max((p_ab + 1 - p_ba) / 2, 1e-4), 1 - 1e-4)
            scores.append(Score({ACCEPTABLE: math.log(p / (1 - p))}, (p_ab > 0.5) == (p_ba > 0.5)))
        return scores

    def critique(
        self, points: Sequence[Point], acceptable: Sequence[bool], seed: int, faults: Sequence[str] = ()
    ) -> list[str]:
        """Why each answer got its verdict; of words that cannot be read, what the policy says of the fault."""
        asks, openings, requests = [], [], []
        for number, (point, yes) in enumerate(zip(points, acceptable, strict=True)):
            fault = faults[number] if faults else ""
            ask, says = self.prompts.critique_ask(fault), self.policy.faults[fault].says if fault else ""
            told = {"query": point.query, "answer": point.response, "word": self.prompts.acceptable[not yes]}
            opening = ask.opened(**told, fault=says)
            begun = self.chat.encode(opening) if opening else []
            if len(begun) > self.chat.context // SHORT:  # then there is no room for it: the policy's words stand alone
                opening, begun = "", []
            ids = (*self._prompt(ask.messages(**told, fault=says), len(begun)), *begun)
            requests.append(GenerationRequest(self.role, ids, self.config.max_new_tokens, 0.0))
            asks.append((ask, says))
            openings.append(opening)
        out = []
        for (ask, says), opening, said in zip(asks, openings, self.generator.generate(requests, seed), strict=True):
            read = self.reading.read("critique", ask, opening + said.text)
            out.append(read["text"] if read else says)
        return out

    def unread(self) -> Unread:
        """Critiques that could not be read since the last call."""
        return self.reading.take()

    def learn(self, batch: CriticBatch, seed: int) -> dict[str, float]:
        """Train the verdicts on the experts' labels so far and on synthetic flaws, and retain what was known before.

        Labels count alike: propensities correct what is estimated from them (calibration), but here they would mute
        the very items that were sent to the experts because the critic is wrong on them.

        Raises:
            ValueError: this is a frozen judge.
        """
        if self.trainer is None:
            raise ValueError("a frozen judge cannot learn")
        training = self._replayed(list(batch.labelled), batch.known, seed)
        self._prepare([(item.query, text) for item, _ in training for text in (item.first, item.second) if text])
        rows = [
            row
            for item, label in training
            for row in self._labelled_rows(item, label) * (1 if item.id in batch.known else self.config.epochs)
        ]
        planted = self._planted(batch.clean, random.Random(f"planted/{seed}"), flaw_count(self.config, len(rows)))
        retained = self._retained(batch.replay, seed)
        metrics = {
            "expert_rows": float(len(rows)),
            "planted_rows": float(len(planted)),
            "rehearsed_rows": float(len(retained)),
            "steps": 0.0,
        }
        if rows or planted:
            c, everything = self.config, [*rows, *planted, *retained]
            phase = Phase(learning_rate=c.learning_rate, epochs=1, batch_size=c.batch_size)
            metrics |= self.trainer.train(self.role, REFERENCE, everything, phase, (), seed)
            if c.stages == 2:
                metrics |= self._second_stage(training, batch.clean, everything, seed)
        return metrics

    def state(self) -> dict[str, Any]:
        """Nothing: all that it knows is in its adapter."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing is to be taken up."""

    def _prompt(self, messages: Messages, begun: int = 0) -> list[int]:
        """The prompt, with room for what is said and for so many tokens with which that begins."""
        return self.chat.prompt_ids(messages, begun + self.config.max_new_tokens)

    def _words(self, words: tuple[str, str]) -> tuple[int, int]:
        first, second = (self.chat.encode(word)[0] for word in words)
        return first, second

    def _point_messages(self, query: str, response: str, role: str) -> Messages:
        """What `role` is asked about a response; debates put arguments in."""
        return self.prompts.judge_messages(query, response)

    def _pair_messages(self, query: str, first: str, second: str) -> Messages:
        """What the critic is asked about two responses."""
        return self.prompts.compare_messages(query, first, second)

    def _prepare(self, texts: Sequence[Texts]) -> None:
        """Make at once whatever the messages about these (query, response) texts need."""

    def _point_logits(
        self, texts: Sequence[Texts], role: str, ask: Ask = as_asked, dimension: str = ACCEPTABLE
    ) -> list[float]:
        unique = list(dict.fromkeys(texts))
        if role == self.role:
            self._prepare(unique)
        asked = [tuple(self._prompt(ask(self._asked(*text, role, dimension)))) for text in unique]
        found = yes_no_log_odds(self.generator, role, asked, self._words(self.prompts.judge_ask(dimension).words))
        logit = dict(zip(unique, found, strict=True))
        return [logit[text] for text in texts]

    def _replayed(self, pairs: list[Labelled], known: Set[str], seed: int) -> list[Labelled]:
        """All new labels, and of the earlier ones so many that a round's training does not grow with their number."""
        old = [place for place, (item, _) in enumerate(pairs) if item.id in known]
        spared = max(0, len(old) - self.config.replayed)
        left_out = set(random.Random(f"replayed/{seed}").sample(old, spared))
        return [pair for place, pair in enumerate(pairs) if place not in left_out]

    def _second_stage(
        self, training: Sequence[Labelled], clean: Sequence[Texts], anchors: Sequence[dict[str, Any]], seed: int
    ) -> dict[str, float]:
        """Train the critiques of the verdicts just learned, beside the rows that taught these."""
        assert self.trainer is not None
        self.generator.load_adapter(self.role, self.trainer.adapter(self.role), self.trainer.version(self.role))
        cases = critique_rl.known_verdicts(training, clean, self.config, random.Random(f"coached/{seed}"))
        return critique_rl.train_critiques(self.services, self.config, cases, anchors, seed)

    def _asked(self, query: str, response: str, role: str, dimension: str) -> Messages:
        """What `role` is asked about one dimension of a response, or about the whole."""
        if dimension == ACCEPTABLE:
            return self._point_messages(query, response, role)
        d = self.policy.dimensions[dimension]
        return self.prompts.judge_messages(query, response, dimension, d.question, d.if_yes, d.if_no)

    def _labelled_rows(self, item: Item, label: ExpertLabel) -> list[dict[str, Any]]:
        """Training rows of one label: of a single answer, of each dimension that the label tells."""
        if item.second or self.dimensions == (ACCEPTABLE,):
            return self._rows(item.query, item.first, item.second, label.value, 1.0)
        answers = told(self.policy, item, label)
        return [row for name, y in answers.items() for row in self._rows(item.query, item.first, "", y, 1.0, name)]

    def _rows(
        self, query: str, first: str, second: str, value: float, weight: float, dimension: str = ACCEPTABLE
    ) -> list[dict[str, Any]]:
        """Training rows of one label: the verdict word behind the prompt; pairs in both orders; ties teach nothing."""
        if value == 0.5 or not (second or dimension in self.dimensions):
            return []
        if not second:
            word = self.prompts.judge_ask(dimension).words[value < 0.5]
            return [self._row(self._asked(query, first, self.role, dimension), word, weight)]
        orders, words = ((first, second, value), (second, first, 1 - value)), self.prompts.compare.words
        return [self._row(self._pair_messages(query, a, b), words[v < 0.5], weight / 2) for a, b, v in orders]

    def _row(self, prompt: Messages, word: str, weight: float) -> dict[str, Any]:
        return {
            "prompt_ids": self._prompt(prompt),
            "completion_ids": self.chat.encode(word)[:1],
            "weight": weight,
        }

    def _planted(self, clean: Sequence[Texts], rng: random.Random, count: int) -> list[dict[str, Any]]:
        """Rows of synthetic flaws: the answer is acceptable and the better one, the flawed one is not acceptable."""
        found = list(islice(planted_flaws(clean, rng, self.config.subtle_flaws), -(-count // ROWS_OF_A_FLAW)))
        self._prepare([(query, text) for query, response, flawed in found for text in (response, flawed)])
        rows: list[dict[str, Any]] = []
        for query, response, flawed in found:
            rows += self._rows(query, response, "", 1.0, 0.5) + self._rows(query, flawed, "", 0.0, 0.5)
            rows += self._rows(query, response, flawed, 1.0, 0.5)
        return rows[:count]

    def _retained(self, fresh: Sequence[Texts], seed: int) -> list[dict[str, Any]]:
        """Verdicts of the critic before any training, against forgetting (learning without forgetting, 1606.09282).

        On texts that no expert has seen, and only where the critic still agrees: what experts have taught since then
        is not undone. A row counts (2p - 1)^2/2 by the initial p.
        """
        count = min(self.config.retention_rows, len(fresh))
        chosen = random.Random(f"rehearsed/{seed}").sample(list(fresh), count)
        rows = []
        for name in self.dimensions:
            now, before = (self._point_logits(chosen, role, dimension=name) for role in (self.role, FROZEN))
            rows += [
                row
                for (query, response), x, y in zip(chosen, now, before, strict=True)
                if (x > 0) == (y > 0)
                for row in self._rows(query, response, "", float(y > 0), math.tanh(y / 2) ** 2 / 2, name)
            ]
        return rows


class _Asked:
    """A generative critic that is asked in other words."""

    def __init__(self, critic: GenerativeCritic, ask: Ask) -> None:
        self.critic, self.ask = critic, ask

    def score_points(self, points: Sequence[Point]) -> list[Score]:
        return self.critic.ask_points(points, self.ask)

    def score_pairs(self, pairs: Sequence[Pair]) -> list[Score]:
        return self.critic.ask_pairs(pairs, self.ask)


def flaw_count(config: AdapterCriticConfig, labelled: int) -> int:
    """How many synthetic flaws there are beside so many labels; some batches where there are none."""
    share = config.synthetic_flaw_share
    return round(labelled * share / (1 - share)) if labelled or not share else config.batch_size * 4
