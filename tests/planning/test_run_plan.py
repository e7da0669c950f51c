"""What a plan states is never less than what a run then does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from superalign.config.compose import load
from superalign.config.recipes import load_recipe
from superalign.generation.hf import HFGenerator
from superalign.planning.run_plan import RoundPlan, RunPlan, Training
from superalign.records import Query, Response
from superalign.store.folder import RunFolder
from superalign.store.run_writer import RunWriter
from superalign.store.tables import read_records, table_path
from superalign.training.service import TrainingService
from tests.smallest import SMALL

QUICK = [*SMALL, "attacker.seeds=4", "expert.budget=6", "cluster.mode=inline"]


class Ledger:
    """What a run does, by round; everything is really done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rounds: dict[int, Counter[str]] = {}
        self.round = 0
        self.patch = monkeypatch
        self.watch(RunWriter, "begin_round", self.begin, before=True)
        self.watch(HFGenerator, "generate", self.generated)
        self.watch(HFGenerator, "choice_logits", lambda args, found: {"verdicts": len(found)})
        self.watch(HFGenerator, "sequence_logprobs", lambda args, found: {"verdicts": len(found)})
        self.watch(TrainingService, "mismatch", lambda args, found: {"verdicts": len(args[1])})
        self.watch(TrainingService, "train", self.trained)

    def watch(self, cls: type, name: str, tell: Callable[[Sequence[Any], Any], Any], before: bool = False) -> None:
        method = getattr(cls, name)

        def watched(this: object, *args: Any, **kwargs: Any) -> Any:
            found = None if before else method(this, *args, **kwargs)
            self.rounds.setdefault(self.round, Counter()).update(tell(args, found) or {})
            return method(this, *args, **kwargs) if before else found

        self.patch.setattr(cls, name, watched)

    def begin(self, args: Sequence[Any], found: Any) -> None:
        self.round = args[0]

    def generated(self, args: Sequence[Any], found: Any) -> Counter[str]:
        told = Counter(f"calls of {request.role}" for request in args[0])
        return told + Counter(tokens=sum(len(one.token_ids) for one in found))

    def trained(self, args: Sequence[Any], found: Any) -> Counter[str]:
        return Counter({f"rows of {args[0]}": len(args[2]), f"steps of {args[0]}": int(found["steps"])})


def stated(one: RoundPlan) -> Counter[str]:
    """The same numbers, as a plan has them."""
    found: Counter[str] = Counter(verdicts=sum(each.count for each in one.verdicts))
    for call in one.calls:
        found += Counter({f"calls of {call.role}": call.count, "tokens": call.tokens})
    for each in one.training:
        found += Counter({f"rows of {each.role}": each.phases * each.rows, f"steps of {each.role}": each.steps})
    return found


def unrolled(plan: RunPlan) -> list[RoundPlan]:
    return [one for one in plan.rounds for _ in range(one.times)]


CASES = [
    ["recipe=selfplay"],
    ["recipe=selfplay", "learner=kto", "attacker=grpo", "attacker.iterations=2", "critic.variance=ensemble"],
    ["recipe=selfplay", "learner=grpo", "attacker.turns=2", "guards.enabled=true", "guards.items=8"],
    ["recipe=selfplay", "learner=online_dpo", "critic=debate", "evaluation.refinement=2"],
    ["recipe=selfplay", "critic.stages=2", "critic.evaluator=critic", "evaluation.judge=frozen_critic"],
    ["recipe=redteam", "evaluation.judge=frozen_critic"],
    ["recipe=self_refine", "refine.queries=12"],
    ["recipe=self_refine", "refine.queries=12", "refine.method=sft", "evaluation.judge=frozen_critic"],
    ["recipe=critic", "critic=consultancy"],
]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_a_run_does_no_more_than_its_plan_states(
    case: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load(["rounds=2", *QUICK, f"run.root={tmp_path}", "run.name=run", *case])
    recipe = load_recipe(config.recipe)
    planned, ledger = unrolled(recipe.plan(config)), Ledger(monkeypatch)
    recipe.main(config)
    assert len(planned) == 3
    run = RunFolder(tmp_path / "run")
    for number, plan in enumerate(planned):
        did, most = ledger.rounds.get(number, Counter()), stated(plan)
        assert {key: (count, most[key]) for key, count in did.items() if count > most[key]} == {}
        for name, kind, limit in (("queries", Query, plan.queries), ("responses", Response, plan.responses)):
            if table_path(run.round_path(number), name).is_file():
                assert len(read_records(run.round_path(number), name, kind)) <= limit
    labels = [row["counts"].get("expert_labels", 0) for row in run.rows()]
    assert all(count <= plan.labels for count, plan in zip(labels, planned, strict=True))


def test_a_reward_model_takes_no_more_steps_than_its_plan_states(tmp_path: Path) -> None:
    words = ["recipe=reward_model", "rounds=1", "reward.pairs=80", f"run.root={tmp_path}", "run.name=run"]
    config = load([*words, *SMALL, "cluster.mode=inline"])
    recipe = load_recipe(config.recipe)
    recipe.main(config)
    (phase,) = unrolled(recipe.plan(config))[1].training
    did = RunFolder(tmp_path / "run").rows()[1]["train"]["reward_model"]
    assert phase.steps / 2 < did["steps"] <= phase.steps


def of_attacker(*words: str) -> list[tuple[str, int]]:
    """The phases of the attacker in a plan, and the rows of each."""
    config = load(["recipe=selfplay", "rounds=1", "attacker.seeds=8", "attacker.current=1", "attacker.past=0", *words])
    rounds = load_recipe("selfplay").plan(config).rounds
    return [(one.title, each.rows) for one in rounds for each in one.training if each.role == "attacker"]


def test_an_attacker_that_never_learns_is_not_trained_in_the_plan(tmp_path: Path) -> None:
    assert of_attacker("attacker=few_shot") == of_attacker("attacker=file", f"attacker.attacks={tmp_path}") == []
    assert of_attacker("attacker=dpo") == [("round 1", 8)]


def test_pairs_by_tactic_and_the_warm_start_are_in_the_plan() -> None:
    assert of_attacker("attacker=dpo", "prompts=chat", "attacker.candidates=6") == [("round 1", 24)]
    shown = of_attacker("attacker=dpo", "attacker.demonstrations=d.jsonl", "attacker.demonstration_rows=90")
    assert shown == [("round 0", 90), ("round 1", 8)]


def test_steps_are_those_of_whole_and_broken_batches() -> None:
    phase = Training("learner", rows=9, epochs=2, batch=8, completions=2, limit=10, anchors=3)
    assert phase.steps == 4
    assert phase.passes == 2 * 9 * 2 + 4 * 3
    assert phase.tokens == phase.passes * 10


def test_a_plan_grows_with_the_settings() -> None:
    def total(*words: str) -> int:
        config = load(["recipe=selfplay", *words])
        plan = load_recipe("selfplay").plan(config)
        return int(plan.total(lambda one: sum(call.tokens for call in one.calls)))

    least = total()
    grown = (
        "rounds=8",
        "attacker.seeds=128",
        "learner.samples=8",
        "learner.max_new_tokens=65",
        "evaluation.prompts=13",
    )
    assert all(total(word) > least for word in grown)


def test_a_plug_in_whose_calls_nobody_knows_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "class Mine:\n"
        "    def __init__(self, settings, services): ...\n"
        "    def score_points(self, points): ...\n"
        "    def score_pairs(self, pairs): ...\n"
    )
    config = load(["recipe=selfplay", f"critic={tmp_path / 'mine.py'}:Mine", "guards.enabled=false"])
    (note,) = load_recipe("selfplay").plan(config).notes
    assert note.startswith(f"critic={tmp_path / 'mine.py'}:Mine")
