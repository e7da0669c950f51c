"""What a hundred rounds' worth of archive, expert labels and records costs a round more than one round's worth.

    python tests/benchmarks/buffer.py [REPEATS]

At the default sizes (64 seeds and 48 labels a round) a buffer of 1 and of 100 rounds is filled, and everything that a
round does with it is timed apart, in turns: the archive's novelty, duplicates, elites and saving; pushing, answering
and reading the experts' labels and calibrating on them; reading the run folder and writing its report. What the larger
buffer costs more, on top of a warm round of self-play on this machine, may be 10 %: 1 % in ten rounds. The critic's
training on old labels is not in this, see `growth.py`. Geometric means with Student's 95 % interval; the parts by
processor time, the round by the clock, on an idle machine.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measure import ROOT, Figure, of_ratios

from superalign.attacks.archive import Archive
from superalign.experts.items import Item
from superalign.experts.queue import ExpertQueue
from superalign.experts.simulated import answer_all
from superalign.feedback.calibration import Calibrator
from superalign.records import Query
from superalign.report import page
from superalign.stats.annotators import annotator_errors
from superalign.stats.classification import propensity_weights
from superalign.store.folder import RunFolder
from superalign.testbed.corpus import Corpus

ROUNDS = 100
QUERIES, LABELS = 64, 48  # of a round: attacker.seeds, expert.budget
TARGET = 1.1
CATEGORIES = ("fraud", "weapons", "drugs", "malware", "privacy", "violence")


def queries(count: int, seed: int) -> list[Query]:
    """Attacks of the testbed's world."""
    corpus, found = Corpus(seed), []
    for i in range(count):
        text = next(m["content"] for m in corpus.draw() if m["role"] == "user")
        category, tactic = CATEGORIES[i % len(CATEGORIES)], f"tactic {i % 8}"
        found.append(Query(f"{seed}-{i}", str(i), text, "harmful", category, tactic, "attacker", i // QUERIES))
    return found


def items(round: int) -> list[Item]:
    """What a round asks the experts."""
    return [
        Item(f"{round}-{i}", round, "point", f"q{round}-{i}", f"r{round}-{i}", "", q.text, "Here is how.", "", "",
             q.category, 0.5, "active", False, True)
        for i, q in enumerate(queries(LABELS, round))
    ]  # fmt: skip


class Buffer:
    """What so many rounds leave behind."""

    def __init__(self, folder: Path, rounds: int, finished: Path) -> None:
        self.folder, self.rounds = folder, rounds
        self.archive = Archive()
        old = queries(QUERIES * rounds, 0)
        self.archive.add(old, [f"gives steps {q.text[:40]}" for q in old], [i % 10 / 10 for i in range(len(old))])
        shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("rounds", "tensorboard", "*.sqlite*"))
        for name in ("metrics.jsonl", "samples.jsonl"):
            self._lengthen(folder / name)
        self.queue = ExpertQueue(folder / "experts.sqlite")
        for number in range(1, rounds + 1):
            self.ask(number)

    def _lengthen(self, path: Path) -> None:
        """Round 0 as it was, and the last one again and again."""
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        last = max(row["round"] for row in rows)
        again = [row for row in rows if row["round"] == last]
        found = [row for row in rows if row["round"] == 0]
        found += [{**row, "round": number} for number in range(1, self.rounds + 1) for row in again]
        path.write_text("".join(json.dumps(row) + "\n" for row in found))

    def ask(self, round: int) -> None:
        """Escalate and have it answered."""
        self.queue.push(items(round), round, LABELS)
        answer_all(self.queue, lambda item: float(len(item.query) % 2), 0.05, 0)

    def attack(self, number: int) -> None:
        """What the attacker does with its archive."""
        new = queries(QUERIES, 1000 + number)
        texts, categories = [q.text for q in new], [q.category for q in new]
        self.archive.sample(QUERIES, number)
        self.archive.novelty(texts, categories)
        self.archive.behaviour_novelty(texts, categories)
        self.archive.rarity(categories, [q.tactic for q in new])
        self.archive.duplicates(texts, 0.98)
        self.archive.elites(4)
        json.dumps(self.archive.to_rows())

    def consult(self, number: int) -> None:
        """Ask the experts of a further round, read every label and calibrate on three in ten."""
        self.ask(self.rounds + 1 + number)
        known = {item.id: item for item in self.queue.items()}
        labels = self.queue.labels()
        errors = annotator_errors(labels)
        held = labels[::3]
        Calibrator.fit(
            [label.value * 4 - 2 + len(label.id) % 3 for label in held],
            [label.value for label in held],
            propensity_weights([known[label.item_id].pi for label in held]),
            [known[label.item_id].category for label in held],
            [errors[label.annotator] for label in held],
        )

    def report(self, number: int) -> None:
        """Read the run and write its page."""
        RunFolder(self.folder).rows()
        page.write(self.folder)


def round_of_selfplay(root: Path) -> tuple[Path, float]:
    """A finished run at the defaults, and the seconds of its warm round."""
    command = [
        sys.executable,
        "-m",
        "superalign.commands.main",
        "train",
        "recipe=selfplay",
        "rounds=2",
        "cluster=inline",
    ]
    subprocess.run([*command, f"run.root={root}", "run.name=short"], check=True, capture_output=True, cwd=ROOT)
    rows: list[dict[str, Any]] = RunFolder(root / "short").rows()
    # The last evaluation is `final_factor` times as large as those between, of which round 1 has one.
    seconds = rows[-1]["timing"]["total"] - rows[-1]["timing"]["evaluate"] + rows[1]["timing"]["evaluate"]
    return root / "short", seconds


def seconds(work: Callable[[int], None], number: int) -> float:
    """Processor time of one call, so that other processes do not count."""
    began = time.process_time()
    work(number)
    return time.process_time() - began


def figures(quick: bool, repeats: int | None = None) -> list[Figure]:
    """The whole round's growth, then each part's."""
    repeats = repeats or (3 if quick else 8)
    with tempfile.TemporaryDirectory() as scratch:
        finished, usual = round_of_selfplay(Path(scratch))
        small, large = (Buffer(Path(scratch) / f"x{rounds}", rounds, finished) for rounds in (1, ROUNDS))
        took: dict[str, list[tuple[float, float]]] = {}
        for part in ("attack", "consult", "report"):
            ways = [getattr(small, part), getattr(large, part)]
            for way in ways:
                way(0)  # embeds what is there once, as a run does round by round
            took[part] = [(seconds(ways[0], number), seconds(ways[1], number)) for number in range(1, repeats + 1)]
    more = [sum(times[n][1] - times[n][0] for times in took.values()) for n in range(repeats)]
    what = f"a round with a buffer of {ROUNDS} rounds over one with a buffer of 1 ({usual:.1f} s)"
    found = [of_ratios("buffer_round", what, [(usual + extra) / usual for extra in more], most=TARGET, tolerance=0.02)]
    for part, said in (("attack", "the archive"), ("consult", "the experts' labels"), ("report", "the run folder")):
        times = took[part]
        what = f"{said} of {ROUNDS} rounds over 1 ({1e3 * times[-1][0]:.0f} and {1e3 * times[-1][1]:.0f} ms a round)"
        found.append(of_ratios(f"buffer_{part}", what, [b / a for a, b in times], tolerance=0.3))
    return found


if __name__ == "__main__":
    print(*figures(False, *map(int, sys.argv[1:])), sep="\n")
