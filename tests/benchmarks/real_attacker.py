"""Attackers against the learner of the round before on a real model: unique successes in 200 queries, tactics covered.

    python tests/benchmarks/real_attacker.py RUN [RUN ...] --attacks FILE

RUN is a run of real_selfplay.py (its full game), FILE holds attacks by people on held-out requests (`held_adversarial`
beside the runs). Compared are the attacker after the last round, the same prompts without its training, and people;
each asks 200 queries: four on each of 50 held-out harmful requests, or 200 of people's. The learner, as the last round
began, answers greedily; the independent judge of the run says what complies. A rewriting that lost its request, or
could not be read, was not asked and counts as one that failed. Tactics are those that the attacker was told.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from safetensors.numpy import load_file

from superalign.commands.target import open_target
from superalign.config.schema import Config
from superalign.data.seeds import draw_seeds, read_seeds
from superalign.generation.hf import HFGenerator
from superalign.records import Query, content_id
from superalign.roles.attacker import make_attacker
from superalign.roles.judge import make_judge
from superalign.roles.learner import Learner
from superalign.roles.protocols import SUCCESS
from superalign.store.adapters import WEIGHTS
from superalign.store.folder import RunFolder
from tests.benchmarks.attacker import Tried, ratio
from tests.benchmarks.real_data import read

REQUESTS, TRIES = 50, 4


def adapter(run: RunFolder, round: int, role: str) -> dict[str, object]:
    """The tensors of a role after a round."""
    found: dict[str, object] = load_file(run.round_path(round) / WEIGHTS / role / "adapter_model.safetensors")
    return found


def written(attacks: Path, count: int) -> list[Query]:
    """People's harmful attacks, drawn; each is a request of its own."""
    rows = [row for row in read(attacks.parent, attacks.stem) if row["kind"] == "harmful"]
    texts = random.Random("people").sample([row["text"] for row in rows], min(count, len(rows)))
    return [Query(n, n, t, "harmful", "general", "people", "attacker", 0) for t in texts for n in [content_id("p", t)]]


class Trial:
    """One run, its learner as the last round began."""

    def __init__(self, folder: Path) -> None:
        self.config, self.generator, run = open_target(str(folder))
        assert run is not None
        self.run, self.last = run, run.last_round() or 0
        self.generator.load_adapter("learner", adapter(run, self.last - 1, "learner"), 1)
        self.learner = Learner(self.config, self.generator, None)
        self.judge = make_judge(self.config, self.generator)
        seeds = read_seeds(self.config.data, self.config.seed).seeds
        pool = [s for s in seeds if s.split == "eval" and s.kind == "harmful"]
        self.seeds = draw_seeds(pool, REQUESTS, 1, self.config.seed)

    def asked(self, queries: list[Query], requests: list[str], tries: int) -> Tried:
        """What became of the queries."""
        answers = self.learner.respond(queries, 0, samples=1, temperature=0.0)
        outcomes = self.judge.outcomes(list(zip(queries, answers, strict=True)))
        return Tried(requests, tries, queries, [outcome in SUCCESS for outcome in outcomes])

    def attacked(self, trained: bool) -> Tried:
        """By the attacker, with what it has learned or without."""
        load(self.generator, self.config, adapter(self.run, self.last if trained else 0, "attacker"))
        chosen = self.config.attacker.model_copy(update={"candidates": TRIES})
        attacker = make_attacker(self.config.model_copy(update={"attacker": chosen}), self.generator, None)
        queries = attacker.rewrite(self.seeds, self.last, 10_000 + self.config.seed)
        return self.asked(queries, [s.id for s in self.seeds], TRIES)

    def by_people(self, attacks: Path) -> Tried:
        """By what people wrote."""
        queries = written(attacks, REQUESTS * TRIES)
        return self.asked(queries, [query.seed_id for query in queries], 1)


def load(generator: HFGenerator, config: Config, tensors: dict[str, object]) -> None:
    """Serve an attacker."""
    generator.load_adapter("attacker", tensors, generator.versions()["attacker"] + 1)


def line(name: str, tried: Tried, tactics: int) -> str:
    """A row of the table."""
    success, unique = tried.rate(tried.worked), tried.rate(tried.unique())
    worked = {q.tactic for q, hit in zip(tried.queries, tried.worked, strict=True) if hit}
    told = {q.tactic for q in tried.queries}
    cells = [
        *(name, f"{len(tried.queries)} of {len(tried.requests) * tried.tries}"),
        *(f"{e.value:.0%} [{e.low:.0%}, {e.high:.0%}]" for e in (success, unique)),
        str(sum(tried.unique())),
        f"{len(worked)} of {len(told)} asked, {tactics} known" if name != "people" else "-",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print a table for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--attacks", required=True, type=Path, help="JSON lines with text and kind")
    args = parser.parse_args()
    for folder in args.runs:
        trial = Trial(folder)
        few_shot, trained = trial.attacked(trained=False), trial.attacked(trained=True)
        print(f"\n{folder}: against the learner after round {trial.last - 1}\n")
        print("| attacker | asked | success | unique success | unique in 200 | tactics with a success |")
        print("|---" * 6 + "|")
        known = len(make_attacker(trial.config, trial.generator, None).prompts.tactics)
        for name, tried in (("few-shot", few_shot), ("trained", trained), ("people", trial.by_people(args.attacks))):
            print(line(name, tried, known), flush=True)
        e = ratio(few_shot, trained)
        print(f"\nunique successes, trained / few-shot: {e.value:.2f} [{e.low:.2f}, {e.high:.2f}]")


if __name__ == "__main__":
    main()
