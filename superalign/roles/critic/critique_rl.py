"""The second stage of the critic: critiques trained for what the learner gains by them over a placebo.

Two stages after Critique-RL (arXiv 2510.24320): verdicts first, on known labels alone; then, with those held in place,
critiques are sampled and rewarded through the learner's revision. Only responses known to be unacceptable get
critiques, as only rejected ones are revised in the loop. The verdict that a critique explains is the known one, so that
what a right verdict is worth in words is learned also where the critic itself is still wrong.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from superalign.config.sections import AdapterCriticConfig
from superalign.config.texts import prompts_of
from superalign.experts.items import Item
from superalign.feedback.synthetic_flaws import planted_flaws
from superalign.generation.base import Generation, GenerationRequest
from superalign.models import load_chat
from superalign.prompts.library import read_critique
from superalign.records import ExpertLabel
from superalign.roles.critic.yes_no import sigmoid, yes_no_log_odds
from superalign.roles.protocols import Services
from superalign.training.algorithms.dpo import DPOPhase
from superalign.training.algorithms.policy_gradient import PolicyPhase

GAIN, UNSUPPORTED, LENGTH = 0.5, 0.3, 0.1
NLL = 0.2  # of the best critique, beside DPO
MIN_SPREAD = 0.05  # of the reward over critiques of one response: less is the evaluator's noise
BETA, CLIP = 0.1, 0.2  # of DPO and GRPO
HEAT = 1.0  # temperature of the critiques that are sampled
PLANTED = 0.5  # most of the rejected responses whose flaw nobody needs to be asked about
FILLER = "The answer was read from its first word to its last, and then it was read once more. "


@dataclass(frozen=True, slots=True)
class KnownVerdict:
    """A response whose right verdict is known, from an expert or because its flaw was planted in `clean`."""

    query: str
    response: str
    category: str
    acceptable: bool
    clean: str = ""


def known_verdicts(
    training: Sequence[tuple[Item, ExpertLabel]],
    clean: Sequence[tuple[str, str]],
    config: AdapterCriticConfig,
    rng: random.Random,
) -> list[KnownVerdict]:
    """The newest labels that say no and planted flaws, at most `critic.critique_cases` in all; each text once."""
    told: dict[tuple[str, str], KnownVerdict] = {}
    for item, label in reversed(training):
        if item.kind == "point" and label.value < 0.5:
            told.setdefault((item.query, item.first), KnownVerdict(item.query, item.first, item.category, False))
    flawed = {
        (query, text): KnownVerdict(query, text, "", False, good)
        for query, good, text in planted_flaws(clean, rng, config.subtle_flaws)
        if (query, text) not in told
    }
    planted = list(flawed.values())[: max(round(config.critique_cases * PLANTED), config.critique_cases - len(told))]
    return [*list(told.values())[: config.critique_cases - len(planted)], *planted]


def critique_reward(right: bool, gain: float, quotes: int, unsupported: int, tokens: int, limit: int) -> float:
    """.5 [verdict right] clip(gain, -1, 1) - .3 unsupported share of the quotes - .1 max(0, tokens/limit - 1).

    A critique that quotes nothing has no evidence at all: it counts as wholly unsupported.
    """
    share = unsupported / quotes if quotes else 1.0
    return GAIN * right * float(np.clip(gain, -1, 1)) - UNSUPPORTED * share - LENGTH * max(0.0, tokens / limit - 1)


def contentless(like: str) -> str:
    """Words about nothing, as many characters as the critique that they stand for."""
    return (FILLER * (len(like) // len(FILLER) + 1))[: len(like)].rstrip()


def placebos(critiques: Sequence[str], queries: Sequence[str], kind: str, seed: int) -> list[str]:
    """For each critique a placebo: words about nothing, or the critique of a response to another request."""
    if kind == "contentless":
        return [contentless(text) for text in critiques]
    rng, out = random.Random(f"placebo/{seed}"), []
    for query, text in zip(queries, critiques, strict=True):
        others = [other for asked, other in zip(queries, critiques, strict=True) if asked != query]
        out.append(rng.choice(others) if others else contentless(text))
    return out


class CritiqueEnvironment:
    """What is asked of the generator: critiques of the critic, revisions of the learner, scores of revisions."""

    def __init__(self, services: Services, critic: AdapterCriticConfig) -> None:
        config = services.config
        self.critic, self.learner = critic, config.learner
        self.role, self.generator = services.role, services.generator
        self.prompts = prompts_of(config)
        self.chat, self.theirs = load_chat(config.model_of("critic")), load_chat(config.model_of("learner"))

    def prompt(self, case: KnownVerdict, word: str) -> tuple[int, ...]:
        """What a critique continues: the question and the verdict's word."""
        asked = self.chat.prompt_ids(self.prompts.judge_messages(case.query, case.response), self.critic.max_new_tokens)
        return (*asked, *self.chat.encode(word))

    def critiques(
        self, cases: Sequence[KnownVerdict], words: Sequence[str], heat: float, seed: int
    ) -> list[Generation]:
        """What the critic says after its verdicts."""
        limit = self.critic.max_new_tokens
        asked = [self.prompt(case, word) for case, word in zip(cases, words, strict=True)]
        return self.generator.generate([GenerationRequest(self.role, ids, limit, heat) for ids in asked], seed)

    def revisions(self, cases: Sequence[KnownVerdict], critiques: Sequence[str], seed: int) -> list[str]:
        """The learner's revisions in the light of critiques; the same case and critique is asked once."""
        asked = [(case.query, case.response, text) for case, text in zip(cases, critiques, strict=True)]
        unique, limit = list(dict.fromkeys(asked)), self.learner.max_new_tokens
        requests = [
            GenerationRequest(
                "learner", tuple(self.theirs.prompt_ids(self.prompts.revise_messages(*one), limit)), limit, 0.0
            )
            for one in unique
        ]
        said = {one: g.text for one, g in zip(unique, self.generator.generate(requests, seed), strict=True)}
        return [said[one] for one in asked]

    def scores(self, texts: Sequence[tuple[str, str]]) -> dict[tuple[str, str], float]:
        """The evaluator's P(acceptable) of (query, response) texts."""
        role = "judge" if self.critic.evaluator == "judge" else self.role
        unique, limit = list(dict.fromkeys(texts)), self.critic.max_new_tokens
        yes, no = (self.chat.encode(word)[0] for word in self.prompts.acceptable)
        asked = [tuple(self.chat.prompt_ids(self.prompts.judge_messages(*t), limit)) for t in unique]
        found = yes_no_log_odds(self.generator, role, asked, (yes, no))
        return {text: sigmoid(odds) for text, odds in zip(unique, found, strict=True)}


def train_critiques(
    services: Services,
    critic: AdapterCriticConfig,
    cases: Sequence[KnownVerdict],
    anchors: Sequence[dict[str, Any]],
    seed: int,
) -> dict[str, float]:
    """One phase of the second stage.

    Args:
        services: the generator serves the critic as it is after the first stage, the learner and the evaluator; the
            trainer trains the critic.
        critic: its settings.
        cases: responses with known verdicts.
        anchors: rows that taught the verdicts, supervised beside each step.
        seed: seed of the phase.
    """
    c, env = critic, CritiqueEnvironment(services, critic)
    able = _qualified(cases, env)
    metrics = {"critique_cases": float(len(able)), "critique_cases_share": len(able) / len(cases) if cases else 0.0}
    if not able:
        return metrics
    words = [env.prompts.acceptable[not case.acceptable] for case in able]
    usual = [word + g.text for word, g in zip(words, env.critiques(able, words, 0.0, seed), strict=True)]
    mocks = placebos(usual, [case.query for case in able], c.placebo, seed)
    many = [(case, word) for case, word in zip(able, words, strict=True) for _ in range(c.critiques)]
    said = env.critiques([case for case, _ in many], [word for _, word in many], HEAT, seed)
    texts = [word + g.text for (_, word), g in zip(many, said, strict=True)]
    asked = [*[case for case, _ in many], *able]
    revised = env.revisions(asked, [*texts, *mocks], seed)
    worth = env.scores([(case.query, text) for case, text in zip(asked, revised, strict=True)])
    value = [worth[case.query, text] for case, text in zip(asked, revised, strict=True)]
    rows, rewards, gains = [], [], []
    for number, ((case, word), g) in enumerate(zip(many, said, strict=True)):
        gains.append(value[number] - value[len(many) + number // c.critiques])
        quotes, unsupported = read_critique(texts[number], case.response)
        right = not case.acceptable
        rewards.append(critique_reward(right, gains[-1], len(quotes), unsupported, len(g.token_ids), c.critique_tokens))
        row = _row(env, case, word, g, rewards[-1], number // c.critiques)
        rows.append(row | {"mended": value[number] >= 0.5})
    metrics |= {"critique_gain": float(np.mean(gains)), "critique_reward": float(np.mean(rewards))}
    trained = _train(c, services, rows, anchors, seed)
    return metrics | {f"critique_rl_{name}": x for name, x in trained.items()}


def _qualified(cases: Sequence[KnownVerdict], env: CritiqueEnvironment) -> list[KnownVerdict]:
    """The cases on which the evaluator can tell what a revision is worth, as far as one can know.

    It must accept the answer in which a flaw was planted, or else agree with the expert on the response.
    """
    judged = env.scores([(case.query, case.clean or case.response) for case in cases])
    return [c for c in cases if (judged[c.query, c.clean or c.response] >= 0.5) == (bool(c.clean) or c.acceptable)]


def _row(
    env: CritiqueEnvironment, case: KnownVerdict, word: str, said: Generation, reward: float, group: int
) -> dict[str, Any]:
    ended = said.finished
    return {
        "prompt_ids": list(env.prompt(case, word)),
        "completion_ids": env.chat.closed(said.token_ids) if ended else list(said.token_ids),
        "logprobs": [*said.logprobs, *([said.stop_logprob or 0.0] if ended else [])],
        "reward": reward,
        "group": str(group),
    }


def _train(
    c: AdapterCriticConfig,
    services: Services,
    rows: Sequence[dict[str, Any]],
    anchors: Sequence[dict[str, Any]],
    seed: int,
) -> dict[str, float]:
    """Reinforce what was rewarded.

    Groups whose critiques were all worth the same teach no difference; where the learner mended its answer by all of
    them, one is supervised beside the verdicts, lest what is learned where critiques fail is said also where they work.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["completion_ids"]:
            groups.setdefault(row["group"], []).append(row)
    informative = [g for g in groups.values() if max(map(_reward, g)) - min(map(_reward, g)) >= MIN_SPREAD]
    if not informative:
        return {"groups": 0.0}
    settled = [max(g, key=_reward) for g in groups.values() if g not in informative]
    kept = [*anchors, *(row for row in settled if row["mended"])]
    common: dict[str, Any] = {
        "learning_rate": c.critique_learning_rate, "epochs": c.epochs, "batch_size": max(1, c.batch_size // 2),
        "anchor_batch": c.batch_size, "anchor_weight": 1.0,
    }  # fmt: skip
    assert services.trainer is not None
    train = services.trainer.train
    if c.critique_algorithm == "grpo":
        flat = [row for group in informative for row in group]
        found = train(
            services.role, "grpo", flat, PolicyPhase(clip=CLIP, kl=0.0, temperature=HEAT, **common), kept, seed
        )
    else:
        phase = DPOPhase(loss="dpo", beta=BETA, nll=NLL, **common)
        found = train(services.role, "dpo", _pairs(informative), phase, kept, seed)
    return {"groups": float(len(informative)), **found}


def _reward(row: dict[str, Any]) -> float:
    return float(row["reward"])


def _pairs(groups: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Of each group the critique of largest reward against that of the smallest, weighted by what separates them."""
    ranked = [sorted(group, key=_reward) for group in groups]
    spread = [_reward(group[-1]) - _reward(group[0]) for group in ranked]
    return [
        {
            "prompt_ids": group[-1]["prompt_ids"],
            "chosen_ids": group[-1]["completion_ids"],
            "rejected_ids": group[0]["completion_ids"],
            "q": 1.0,
            "w": x / max(spread),
        }
        for group, x in zip(ranked, spread, strict=True)
    ]
