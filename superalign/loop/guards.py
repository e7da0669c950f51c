"""Guards: an update is kept only if nothing got worse beyond its paired interval, else the role is rolled back.

Who gates is not who trains: the critic is held to expert labels it never trains on; the learner is graded by the critic
as it was before any training, on requests that no report asks. Where no oracle grades, that initial critic reports as
well: what it cannot see, neither guard nor report does. Rolled-back weights, with their optimizer, get a version of
their own: a version number never means two things.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from superalign.data.seeds import load_seeds
from superalign.errors import UserError
from superalign.evaluation.harness import Evaluation, build_set
from superalign.feedback.synthetic_flaws import planted_flaws
from superalign.loop.regressions import Change, change, collapsed, gap_growth, gaps, successes
from superalign.records import Judgement, Query
from superalign.roles.expert import ExpertLabels
from superalign.roles.judge import frozen_critic
from superalign.roles.protocols import Judge
from superalign.stats.intervals import MIN_JUDGE_LABELS
from superalign.training.base import Trainer

if TYPE_CHECKING:
    from superalign.config.schema import Config
    from superalign.loop.workers import Workers
    from superalign.store.run_writer import RunWriter

CASES = "guards.json"
WIDER = 8  # times the configured sizes: enough requests


def roll_back(trainer: Trainer, role: str, committed: Path, scratch: Path) -> int:
    """Give a role the weights and the optimizer that it had in `committed`, under a new version, which is returned.

    The other roles keep theirs, bit for bit. `scratch` must be seen by the trainer's process; it is gone afterwards.
    """
    version = trainer.version(role) + 1
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        trainer.save(scratch.resolve())
        shutil.rmtree(scratch / role)
        shutil.copytree(committed / role, scratch / role)
        (scratch / role / "version.json").write_text(json.dumps({"version": version}) + "\n", encoding="utf-8")
        trainer.load(scratch.resolve())
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return version


class Guards:
    """The guards of a run. Without `guards.enabled` they look at nothing and do nothing."""

    def __init__(self, config: Config, run: RunWriter, workers: Workers) -> None:
        """Choose the requests on which the learner is checked."""
        self.config, self.draws, self.seed = config.guards, config.evaluation.bootstrap, config.seed
        self.run, self.workers = run, workers
        self.round, self.found = 0, _nothing()
        if self.config.enabled:
            self.judge = frozen_critic(config, workers.generator)
            self.lookalikes, self.benign = unreported(config, self.judge)

    def begin(self, round: int) -> None:
        """A round begins, perhaps once more."""
        self.round, self.found = round, _nothing()

    @contextmanager
    def critic(self, labels: ExpertLabels) -> Iterator[None]:
        """Hold what the block does to the critic to the Brier score on held-back labels, and to synthetic flaws."""
        if not self.config.enabled:
            yield
            return
        critic, planted = self.workers.critic, self._planted()
        answered, errors = labels.all, labels.error_rates
        before, truth, clusters, weights = critic.examined(answered, errors)
        missed = self._missed(planted)
        yield

        def compare() -> list[Change | None]:
            after, *_ = critic.examined(answered, errors)
            was, now = ([(p - y) ** 2 for p, y in zip(ps, truth, strict=True)] for ps in (before, after))
            known = len(truth) >= MIN_JUDGE_LABELS
            brier = change("Brier score", was, now, clusters, 0.0, weights, self.draws) if known else None
            asked = [query for query, *_ in planted]
            limit = self.config.synthetic_flaws
            return [
                brier,
                change("errors on synthetic flaws", missed, self._missed(planted), asked, limit, draws=self.draws),
            ]

        if not self._accept("critic", compare):
            critic.calibrate(errors)

    @contextmanager
    def learner(self) -> Iterator[None]:
        """Hold what the block does to the learner to over-refusal and helpfulness on requests that no report asks."""
        if not self.config.enabled:
            yield
            return
        before = self._answers()
        yield
        self.workers.sync("learner")

        def compare() -> list[Change | None]:
            after = self._answers()
            refused, lookalikes = (before[0], after[0]), [q.seed_id for q in self.lookalikes]
            unhelped, benign = (before[1], after[1]), [q.seed_id for q in self.benign]
            return [
                change("over-refusal", *refused, lookalikes, self.config.over_refusal, draws=self.draws),
                change("unhelpfulness", *unhelped, benign, self.config.helpfulness, draws=self.draws),
            ]

        self._accept("learner", compare)

    def attacker(self, queries: Sequence[Query], points: Sequence[Judgement]) -> None:
        """Start the attacker again from its initial adapter when it has collapsed."""
        if not self.config.enabled:
            return
        own, unique, static = successes(queries, points, self.round, self.config.similarity)
        now = {"asked": own, "unique": unique, "static": static, "restarted": False}
        history = [row["guards"]["attacker"] for row in self.run.rows() if row.get("guards", {}).get("attacker")]
        expected = collapsed(history, now, self.config)
        if expected is not None:
            self._return("attacker", 0, "restarted", f"{unique} unique successes where {expected:.1f} were expected")
        self.found["attacker"] = now | {"restarted": expected is not None}

    def compare(self, cases: Evaluation, round: int) -> Evaluation:
        """The evaluation with the growth of the proxy-gold gap since the round before."""
        if not self.config.enabled or round == 0:
            return cases
        before = json.loads((self.run.round_path(round - 1) / CASES).read_text(encoding="utf-8"))
        growth = gap_growth(before["gaps"], cases, self.seed, self.draws)
        if growth is None or (cases.judge and cases.judge.withheld):
            return cases
        return replace(cases, metrics=cases.metrics | {"proxy_gold_growth": growth})

    def record(self, folder: Path, cases: Evaluation) -> dict[str, Any]:
        """What the round's row keeps of the guards; what the next round compares with goes into the folder."""
        if not self.config.enabled:
            return {}
        (folder / CASES).write_text(json.dumps({"gaps": gaps(cases)}), encoding="utf-8")
        return {"guards": self.found}

    def _answers(self) -> tuple[list[float], list[float]]:
        """Refusals of look-alikes, and benign requests not answered."""
        asked = [*self.lookalikes, *self.benign]
        responses = self.workers.learner.respond(asked, seed=0, samples=1, temperature=0.0)
        outcomes = self.judge.outcomes(list(zip(asked, responses, strict=True)))
        count = len(self.lookalikes)
        return [float(o == "refusal") for o in outcomes[:count]], [float(o != "full") for o in outcomes[count:]]

    def _planted(self) -> list[tuple[str, str, str, bool]]:
        """(query, answer, category, whether it is good): the learner's good answers, and the same with a flaw each."""
        responses = self.workers.learner.respond(self.benign, seed=0, samples=1, temperature=0.0)
        outcomes = self.judge.outcomes(list(zip(self.benign, responses, strict=True)))
        good = [(q.text, r.text) for q, r, o in zip(self.benign, responses, outcomes, strict=True) if o == "full"]
        category = {q.text: q.category for q in self.benign}
        flawed = planted_flaws(good, random.Random(f"guards/{self.round}"))
        return [(q, said, category[q], said == right) for q, right, wrong in flawed for said in (right, wrong)]

    def _missed(self, planted: Sequence[tuple[str, str, str, bool]]) -> list[float]:
        """Which of them the critic judges wrongly."""
        p = self.workers.critic.probabilities([(q, said, category) for q, said, category, _ in planted])
        return [float((x >= 0.5) != good) for x, (*_, good) in zip(p, planted, strict=True)]

    def _accept(self, role: str, compare: Callable[[], list[Change | None]]) -> bool:
        """Keep the update, or roll it back."""
        tensors = self.workers.trainer.adapter(role).values()
        if not all(np.isfinite(tensor).all() for tensor in tensors):
            return self._return(role, self.round - 1, "rolled back", "its weights are not finite")
        changes = [found for found in compare() if found]
        if not changes:
            self.run.progress.say(f"guard: nothing was there to compare the {role} on in round {self.round}")
        self.found["checks"] |= {f"{role} {found.name}": found.to_row() for found in changes}
        broken = [str(found) for found in changes if found.broken]
        return not broken or self._return(role, self.round - 1, "rolled back", "; ".join(broken))

    def _return(self, role: str, round: int, action: str, because: str) -> bool:
        """Take the role back to a committed round, serve it so, and tell; False."""
        from superalign.store.adapters import WEIGHTS

        scratch = self.run.rounds_dir / ".tmp-rollback"
        version = roll_back(self.workers.trainer, role, self.run.round_path(round) / WEIGHTS, scratch)
        self.workers.sync(role)
        self.found["actions"].append(
            {"role": role, "action": action, "to_round": round, "version": version, "because": because}
        )
        self.run.event("guard", round=self.round, role=role, action=action, because=because)
        self.run.progress.say(f"guard: {role} {action} to round {round}: {because}")
        return False


def _nothing() -> dict[str, Any]:
    return {"checks": {}, "actions": []}


def unreported(config: Config, judge: Judge) -> tuple[list[Query], list[Query]]:
    """Look-alikes and other benign requests on held-out seeds that no report asks about, under any attack family.

    Raises:
        UserError: there are none: guards without requests would pass everything.
    """
    wide = build_set(config, load_seeds(config.data, config.seed), judge, WIDER, for_guards=True)
    lookalikes = wide.lookalikes[: config.guards.items]
    taken = {q.id for q in lookalikes}
    benign = [q for q in wide.benign if q.id not in taken][: config.guards.items]
    if not (lookalikes and benign):
        raise UserError(
            f"guards.enabled=true: of the held-out benign seeds of data.seeds={config.data.seeds} too few are there "
            f"to keep some for guards ({len(lookalikes)} look-alikes and {len(benign)} others): give more benign "
            "seeds, or set guards.enabled=false"
        )
    return lookalikes, benign
