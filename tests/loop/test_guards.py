"""Guards: what counts as worse, what a rollback restores, when a run stops, when an attacker has collapsed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from superalign.config.sections import GuardsConfig
from superalign.errors import UserError
from superalign.evaluation.harness import Evaluation
from superalign.feedback.calibration import held_back
from superalign.loop.guards import _unreported, roll_back
from superalign.loop.regressions import change, collapsed, gap_growth, gaps, stopped, successes
from superalign.prompts import templates
from superalign.records import Query
from superalign.roles.critic.generative import Critic
from superalign.roles.judge import FrozenCriticJudge
from superalign.stats.classification import propensity_weights
from tests.roles.parts import CHAT, Listened, Scripted, config, labelled, point, query, response
from tests.training.phases import SFT, sft

ON = GuardsConfig(enabled=True)
ITEMS = [f"seed-{i}" for i in range(100)]


def losses(share: float) -> list[float]:
    """A hundred items of which the first are lost."""
    return [float(i < 100 * share) for i in range(100)]


def test_an_update_is_broken_only_when_the_whole_paired_interval_lies_beyond_the_limit() -> None:
    grave, slight = (change("over-refusal", losses(0.0), losses(after), ITEMS, 0.03) for after in (0.2, 0.06))
    assert grave is not None and slight is not None
    assert grave.broken and grave.worse.low > 0.03
    assert slight.worse.value > 0.03 > slight.worse.low and not slight.broken


def test_pairing_sees_what_two_separate_intervals_would_not() -> None:
    rng = np.random.default_rng(0)
    before = rng.random(100)
    paired = change("Brier score", before, np.clip(before + 0.02, 0, 1), ITEMS, 0.0)
    assert paired is not None and paired.broken
    shuffled = change("Brier score", before, rng.permutation(np.clip(before + 0.02, 0, 1)), ITEMS, 0.0)
    assert shuffled is not None and not shuffled.broken


def test_weights_undo_that_some_items_were_drawn_more_often() -> None:
    before, after = [0.0] * 100, [1.0] * 50 + [0.0] * 50
    found = change("Brier score", before, after, ITEMS, 0.0, weights=[0.2] * 50 + [1.8] * 50)
    assert found is not None
    assert found.worse.value == pytest.approx(0.1) and found.after == pytest.approx(0.1)
    assert found.worse.low < 0.1 < found.worse.high


def test_without_items_nothing_is_known() -> None:
    assert change("Brier score", [], [], [], 0.0) is None


# rolling back


def step(trainer: Listened, role: str, seed: int) -> None:
    row = {
        "prompt_ids": CHAT.prompt_ids(templates.respond("how do i build a kite?")),
        "completion_ids": CHAT.closed(CHAT.encode("Sure.")),
        "weight": 1.0,
    }
    trainer.train(role, SFT, [row], sft(), seed=seed)


def everything(trainer: Listened, role: str, folder: Path) -> tuple[dict[str, Any], Any]:
    trainer.save(folder)
    return trainer.adapter(role), torch.load(folder / role / "optimizer.pt", weights_only=True)["state"]


def test_a_rollback_restores_weights_and_optimizer_under_a_new_version_and_leaves_others_alone(tmp_path: Path) -> None:
    trainer = Listened()
    step(trainer, "learner", 0)
    step(trainer, "critic", 0)
    kept, memory = everything(trainer, "learner", tmp_path / "committed")
    step(trainer, "learner", 1)
    step(trainer, "critic", 1)
    other, other_memory = everything(trainer, "critic", tmp_path / "now")

    assert roll_back(trainer, "learner", tmp_path / "committed", tmp_path / "scratch") == 3
    assert [trainer.version(role) for role in ("learner", "critic", "attacker")] == [3, 2, 0]
    for role, tensors, state in (("learner", kept, memory), ("critic", other, other_memory)):
        found, optimizer = everything(trainer, role, tmp_path / "after")
        assert all(np.array_equal(found[name], tensor) for name, tensor in tensors.items())
        assert str(optimizer) == str(state)
    assert not (tmp_path / "scratch").exists()


def test_training_goes_on_from_a_rollback_as_if_the_bad_update_had_never_been(tmp_path: Path) -> None:
    straight, detour = Listened(), Listened()
    for trainer in (straight, detour):
        step(trainer, "learner", 0)
        trainer.save(tmp_path / "committed")
    step(detour, "learner", 1)
    roll_back(detour, "learner", tmp_path / "committed", tmp_path / "scratch")
    for trainer in (straight, detour):
        step(trainer, "learner", 2)
    wanted, found = straight.adapter("learner"), detour.adapter("learner")
    assert all(np.array_equal(found[name], tensor) for name, tensor in wanted.items())
    assert (straight.version("learner"), detour.version("learner")) == (2, 4)


# stopping


def row(round: int, growth: float, low: float) -> dict[str, Any]:
    figure = {"value": growth, "low": low, "high": 2 * growth - low, "n": 100}
    return {"round": round, "metrics": {"proxy_gold_growth": figure}}


@pytest.mark.parametrize(
    ("growths", "stops"),
    [
        ([(0.07, 0.02), (0.06, 0.01)], True),
        ([(0.07, 0.02), (0.04, 0.03)], False),  # too little
        ([(0.07, 0.02), (0.20, -0.01)], False),  # not established
        ([(0.07, 0.02), (-0.01, -0.02), (0.07, 0.02)], False),  # not two running
        ([(-0.01, -0.02), (0.07, 0.02), (0.07, 0.02)], True),
        ([(0.07, 0.02)], False),
    ],
)
def test_a_run_stops_when_the_gap_grew_by_more_than_five_points_twice_running(
    growths: list[tuple[float, float]], stops: bool
) -> None:
    rows = [{"round": 0, "metrics": {}}, *(row(i + 1, *growth) for i, growth in enumerate(growths))]
    assert (stopped(rows, ON) is not None) == stops
    assert stopped(rows, GuardsConfig()) is None


def test_the_growth_of_the_gap_is_measured_on_the_queries_of_both_rounds() -> None:
    asked = [query(f"how do i build kite {i}?") for i in range(40)]
    before = Evaluation({}, [(q, response(q, "Sure."), "full", 0.6) for q in asked[:30]])
    after = Evaluation({}, [(q, response(q, "Hm."), "garbled", 0.8 if i < 30 else 0.1) for i, q in enumerate(asked)])
    found = gap_growth(gaps(before), after, 0, 200)
    assert found is not None
    assert found.value == pytest.approx(1.2) and found.n == 30  # from -.4 to +.8
    assert gap_growth({}, after, 0, 200) is None


# collapse


def attack(text: str, source: str = "attacker", round: int = 1) -> Query:
    return replace(query(text), source=source, round=round)


def test_near_duplicates_are_one_success_and_static_opponents_are_the_measure() -> None:
    own = [attack(f"{word} please tell me how to build a kite") for word in ("well,", "well,,", "quick!", "zebra")]
    old, static = attack("from the archive", round=0), [attack("plain one", "static"), attack("plain two", "static")]
    points = [point(response(q, "Sure."), 0.1) for q in (*own[:3], old, static[0])]
    points += [point(response(q, "No."), 0.9) for q in (own[3], static[1])]
    assert successes([*own, old, *static], points, 1, 0.9) == (4, 2, 0.5)
    assert successes([], [], 1, 0.9) == (0, 0, None)


def past(unique: int, static: float | None = 1.0, restarted: bool = False) -> dict[str, Any]:
    return {"asked": 60, "unique": unique, "static": static, "restarted": restarted}


def test_an_attacker_whose_unique_successes_halve_has_collapsed() -> None:
    assert collapsed([past(20), past(30)], past(15), ON) == 30
    assert collapsed([past(20), past(30)], past(16), ON) is None


def test_what_the_learner_has_learned_is_no_collapse() -> None:
    assert collapsed([past(30, static=0.8)], past(8, static=0.2), ON) is None
    assert collapsed([past(60, static=0.8)], past(7, static=0.2), ON) == pytest.approx(15)


def test_few_successes_say_nothing_and_a_restarted_attacker_is_measured_anew() -> None:
    assert collapsed([past(9)], past(0), ON) is None
    assert collapsed([past(40), past(5, restarted=True)], past(3), ON) is None
    assert collapsed([past(40), past(5, restarted=True), past(30)], past(3), ON) == 30


def test_a_critic_is_examined_on_labels_held_back_from_it_that_stand_for_all() -> None:
    critic = Critic(config(critic={"calibration_share": 0.4}), Scripted(), None)
    answered = [labelled(i, float(i % 2), pi=(i % 5 + 1) / 10) for i in range(60)]
    answered += [labelled(f"tie-{i}", 0.5) for i in range(10)]
    _, labels, asked, weights = critic.examined(answered)
    mine = [(x.value, i.query_id) for i, x in answered if held_back(i, 0.4) and x.value != 0.5]
    assert mine == list(zip(labels, asked, strict=True)) and 10 < len(mine) < 40
    drawn = [i.pi for i, x in answered if held_back(i, 0.4) and x.value != 0.5]
    assert weights == propensity_weights(drawn).tolist() and len(set(weights)) == 5


# requests


def test_guards_without_requests_of_their_own_are_refused() -> None:
    few, wide = ({"data": {"limit": 60}, "evaluation": {"benign": n, "lookalikes": n}} for n in (64, 4))
    with pytest.raises(UserError, match=r"the report asks \d+, .* are left for guards; give more benign seeds"):
        _unreported(config(**few), FrozenCriticJudge(config(), Scripted()))
    assert all(_unreported(config(**wide), FrozenCriticJudge(config(), Scripted())))
