"""What the learner gains from the critic's critique over a placebo, graded by the testbed's oracle.

    python tests/benchmarks/critique_gain.py [--seeds 0 1 2] [--rounds 4] [--algorithm dpo|grpo]

Three critics read the same answers of the untrained learner to held-out combinations in all attack families: the
shipped one, one trained on verdicts alone (critic.stages=1) and one whose critiques were then trained for the learner's
gain (critic.stages=2). Both learn from the same labels of a simulated expert (5 % wrong) and synthetic flaws. Half of
the answers are the learner's own samples, half are flawed on purpose as the critic's probes are, because the untrained
learner knows few ways of being wrong. Each critique meets two placebos: the same critic's critique of an answer to
another request, and words about nothing of the same length. The learner revises greedily; a revision counts if the
oracle finds it acceptable. The scorer that rewarded critiques was the critic as shipped, never the oracle.

Differences are paired on answers, intervals 95 % by bootstrap over seed requests, pooled over seeds.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from superalign.attacks.families import EVERY_FAMILY, TRAINED, wrap
from superalign.config.schema import Config
from superalign.experts.items import Item
from superalign.generation.hf import HFGenerator
from superalign.models import load_chat
from superalign.records import Critique, ExpertLabel, Judgement, Query, Response, content_id
from superalign.roles.critic.critique_rl import placebos
from superalign.roles.critic.verdicts import VerdictModel
from superalign.roles.learner import Learner
from superalign.stats.estimate import Estimate
from superalign.stats.intervals import paired_difference
from superalign.testbed import oracle
from superalign.testbed.corpus import Corpus
from superalign.testbed.world import seeds as seed_requests
from superalign.training.service import TrainingService

CHAT = load_chat("testbed")
ROLES = ("attacker", "critic", "learner", "judge")
CRITICS = {"initial": 0, "verdicts alone": 1, "two stages": 2}
WHICH = {"rejected": "answers it rejects, as in the loop", "wrong": "all wrong answers, verdict given"}
ARMS = ("critique", "other", "contentless")
ERROR_RATE, LABELS = 0.05, 48

Cases = list[tuple[Query, Response]]


@dataclass
class Table:
    """Of one critic, pooled over seeds: who is right before and after revising, row by row."""

    clusters: dict[str, list[str]] = field(default_factory=lambda: {"rejected": [], "wrong": []})
    right: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    verdicts: list[float] = field(default_factory=list)
    quotes: int = 0
    unsupported: int = 0
    tokens: list[int] = field(default_factory=list)

    def add(self, which: str, arm: str, values: Sequence[float]) -> None:
        """Further rows of an arm."""
        self.right.setdefault((which, arm), []).extend(values)

    def gain(self, which: str, placebo: str) -> Estimate:
        """Right revisions with the critique less those with the placebo."""
        return paired_difference(self.right[which, "critique"], self.right[which, placebo], self.clusters[which])


def answers(split: str, count: int, families: Sequence[str], learner: Learner, seed: int) -> Cases:
    """Requests of a split in plain and wrapped wordings, each with one answer."""
    rng, corpus = random.Random(f"{split}/{seed}"), Corpus(seed + 100)
    pool = [s for s in seed_requests(seed, 1200) if s.split == split]
    queries = []
    for s in rng.sample(pool, count):
        text = wrap(rng.choice(("plain", "plain", *families)), s.text, rng)
        queries.append(Query(content_id(text), s.id, text, s.kind, s.category, "", "static", 1))
    out: Cases = []
    for query, said in zip(queries, learner.respond(queries, seed, samples=1), strict=True):
        request, text = oracle.parse(query.text), said.text
        if request is not None and rng.random() < 0.5:
            text = corpus.response(request, rng.choices(("full", "refusal", "partial", "garbled"), (4, 4, 1, 1))[0])
        out.append((query, Response(content_id(query.id, text), query.id, text, said.prompt_ids, (), (), "sample", 0)))
    return out


def labelled(cases: Cases, seed: int) -> list[tuple[Item, ExpertLabel]]:
    """A simulated expert's labels."""
    out = []
    for number, (query, response) in enumerate(cases):
        value = oracle.acceptable(query.text, response.text)
        if random.Random(f"expert/{seed}/{number}").random() < ERROR_RATE:
            value = 1 - value
        item = Item(
            response.id, 1, "point", query.id, response.id, "", query.text, response.text, "", "", query.category, 1.0,
            "active", False, query.kind == "harmful",
        )  # fmt: skip
        out.append(
            (item, ExpertLabel(f"l-{response.id}", item.id, "point", "simulated", value, 1.0, "active", 1, True))
        )
    return out


def trained(critic: VerdictModel, trainer: TrainingService, cases: Cases, rounds: int, seed: int) -> None:
    """The rounds of a critic: 48 new labels in each, synthetic flaws in what it accepts."""
    for number in range(1, rounds + 1):
        seen = cases[: number * len(cases) // rounds]
        fresh = seen[(number - 1) * len(cases) // rounds :]
        points = critic.judge_points(seen, seed)
        clean = [(q.text, r.text) for (q, r), point in zip(seen, points, strict=True) if point.p >= 0.6]
        answered = labelled(cases, seed)[: number * LABELS]
        found = critic.learn(answered, clean, [(q.text, r.text) for q, r in fresh], 1000 * seed + number)
        critic.generator.load_adapter("critic", trainer.adapter("critic"), trainer.version("critic"))
        critic.calibrate()
        if "critique_gain" in found:
            told = ("critique_cases", "critique_gain", "critique_reward", "critique_rl_groups")
            shown = {name: round(value, 3) for name, value in found.items() if name in told}
            print(f"  seed {seed}, round {number}: {shown}", flush=True)


def measured(table: Table, critic: VerdictModel, learner: Learner, cases: Cases, seed: int) -> None:
    """Revisions of what the critic rejects, as in the loop; and of all wrong answers, with the verdict given."""
    points = critic.judge_points(cases, 0)
    truth = [oracle.acceptable(q.text, r.text) for q, r in cases]
    table.verdicts += [float((point.p >= 0.5) == (y >= 0.5)) for point, y in zip(points, truth, strict=True)]
    no = [Judgement(*("",) * 6, *(0.0,) * 3, False, False, 0)] * len(cases)  # type: ignore[arg-type]
    chosen = {
        "rejected": [i for i, point in enumerate(points) if point.p < 0.5],
        "wrong": [i for i, y in enumerate(truth) if y < 0.5],
    }
    for which, rows in chosen.items():
        some = [cases[i] for i in rows]
        critiques = critic.critique(some, [no[i] for i in rows], 0)
        texts, asked = [c.text for c in critiques], [q.text for q, _ in some]
        table.clusters[which] += [f"{seed}/{q.seed_id}" for q, _ in some]
        if which == "wrong":
            table.quotes += sum(len(c.quotes) for c in critiques)
            table.unsupported += sum(c.unsupported for c in critiques)
            table.tokens += [len(CHAT.encode(text)) for text in texts]
        for arm in ARMS:
            read = texts if arm == "critique" else placebos(texts, asked, arm, seed)
            given = [
                (q, r, Critique(c.id, r.id, text, (), 0, 0))
                for (q, r), c, text in zip(some, critiques, read, strict=True)
            ]
            revised = learner.revise(given, 0)
            table.add(which, arm, [oracle.acceptable(q.text, r.text) for (q, _), r in zip(some, revised, strict=True)])


def show(e: Estimate) -> str:
    """In points of per cent."""
    return f"{100 * e.value:+.1f} [{100 * e.low:+.1f}, {100 * e.high:+.1f}]"


def mean(values: Sequence[float]) -> str:
    """In per cent."""
    return f"{100 * sum(values) / max(1, len(values)):.1f}"


def report(tables: dict[str, Table]) -> None:
    """Print what was found so far."""
    heading = "| critic | verdicts right | n | right after critique, other, nothing | gain on other | on nothing |"
    for which, words in WHICH.items():
        print(f"{words}\n  {heading}")
        for name, table in tables.items():
            rates = ", ".join(mean(table.right[which, arm]) for arm in ARMS)
            gains = " | ".join(show(table.gain(which, placebo)) for placebo in ARMS[1:])
            print(f"  | {name} | {mean(table.verdicts)} | {len(table.clusters[which])} | {rates} | {gains} |")
    last = tables["two stages"]
    for name in ("initial", "verdicts alone"):
        pair = last.right["wrong", "critique"], tables[name].right["wrong", "critique"]
        better = paired_difference(*pair, last.clusters["wrong"])
        print(f"right revisions of wrong answers, two stages less {name}: {show(better)}")
    for name, t in tables.items():
        per = t.unsupported / max(1, t.quotes)
        words = f"{t.quotes} quotes, {100 * per:.1f} % unsupported, {sum(t.tokens) / len(t.tokens):.1f} tokens"
        print(f"{name}: {words}", flush=True)


def main(chosen: Sequence[int], rounds: int, size: int, algorithm: str) -> None:
    """Train, measure and print."""
    torch.set_num_threads(1)
    began, tables = time.monotonic(), {name: Table() for name in CRITICS}
    for seed in chosen:
        for name, stages in CRITICS.items():
            config = Config.model_validate(
                {"critic": {"stages": stages or 1, "critique_algorithm": algorithm, "subtle_flaws": True}}
            )
            models = dict.fromkeys(ROLES, "testbed")
            generator = HFGenerator(models, config.lora, config.generator, threads=1)
            learner = Learner(config, generator, None)
            trainer = TrainingService(models, config.lora, threads=1)
            critic = VerdictModel(config, generator, trainer)
            if stages:
                trained(critic, trainer, answers("train", rounds * 96, TRAINED, learner, seed), rounds, seed)
            measured(tables[name], critic, learner, answers("eval", size, EVERY_FAMILY, learner, seed), seed)
            print(f"  seed {seed}, {name}: {time.monotonic() - began:.0f} s", flush=True)
        done = list(chosen[: list(chosen).index(seed) + 1])
        rows = f"{rounds} rounds of {LABELS} labels, {size} answers each"
        print(f"model=testbed, seeds {done}, {rows}, critiques by {algorithm}")
        report(tables)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--size", type=int, default=240)
    parser.add_argument("--algorithm", choices=("dpo", "grpo"), default="dpo")
    given = parser.parse_args()
    main(given.seeds, given.rounds, given.size, given.algorithm)
