"""Before round 1: the critic learns from curated labels and known kinds, the attacker from demonstrations."""

from __future__ import annotations

from typing import Any

from superalign.data.attacks import read_attacks
from superalign.loop.workers import Workers
from superalign.store.run_writer import RunWriter


def warm_start(run: RunWriter, workers: Workers, seed: int) -> dict[str, Any]:
    """Figures by role; nothing where the settings give nothing to start from.

    The answers of the curated labels that people accept are those in which flaws are planted.
    """
    config, found = workers.config, dict[str, Any]()
    if config.expert.curated:
        with run.stage("train_critic"):
            found["critic"] = _learn_curated(workers, seed)
            workers.sync("critic")
    if learned := workers.attacker.warm_start(seed):
        found["attacker"] = learned
        workers.sync("attacker")
    return found


def _learn_curated(workers: Workers, seed: int) -> dict[str, float]:
    labels = workers.expert.collect(0)
    points = [(item, label) for item, label in labels.all if item.kind == "point"]
    good = [(item.query, item.first) for item, label in points if label.value > 0.5]
    texts = [(item.query, item.first) for item, _ in points]
    requests = [(s.text, s.kind == "harmful") for s in workers.train_seeds]
    learned = workers.critic.learn(labels.all, good, texts, seed, [*requests, *_known_attacks(workers)])
    return learned | workers.critic.calibrate(labels.error_rates)


def _known_attacks(workers: Workers) -> list[tuple[str, bool]]:
    """(attack, whether it is harmful) of the files of attacks with kinds that the attacker is given."""
    config, found = workers.config, list[tuple[str, bool]]()
    for name in ("known", "attacks"):
        if source := getattr(config.attacker, name, None):
            attacks = read_attacks(source, config.data, f"attacker.{name}", kinds=True)
            found += [(attack.text, attack.kind == "harmful") for attack in attacks]
    return found
