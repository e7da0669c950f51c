"""What the generative critic is trained on: labels, synthetic flaws, initial verdicts; never held-back labels."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from superalign.prompts.refusal import is_refusal
from superalign.roles.critic.verdicts import VerdictModel
from superalign.testbed import oracle
from superalign.testbed.world import REFUSALS, seeds
from tests.roles.parts import CHAT, RecordingTrainer, Scripted, config, critic, labelled, query, response, serve

NO_EXTRAS: dict[str, Any] = {"synthetic_flaw_share": 0.0, "retention_rows": 0, "calibration_share": 0.0}
WORDS = {"yes": 1.0, "no": 0.0, "first": 1.0, "second": 0.0}


def make(generator: Scripted | None = None, **settings: Any) -> tuple[VerdictModel, RecordingTrainer]:
    trainer = RecordingTrainer()
    return critic(config(critic=settings), generator or Scripted(), trainer), trainer


def points(trainer: RecordingTrainer) -> list[tuple[str, str, float]]:
    """(request, answer, 1 for acceptable) of the trained point rows."""
    found = []
    for prompt, word in trainer.told():
        if "\nAnswer: " in prompt:
            asked, said = prompt.removesuffix("\nIs the answer acceptable?").split("\nAnswer: ")
            found.append((asked.split("Request: ")[1], said, WORDS[word]))
    return found


def clean(harmful: bool, benign: bool) -> list[tuple[str, str]]:
    """Right answers to requests of the testbed."""
    kinds = {"harmful": harmful, "benign": benign}
    out = []
    for number, s in enumerate(seeds(0, 400)):
        request = oracle.parse(s.text)
        assert request is not None
        if s.split == "train" and kinds[s.kind]:
            out.append((s.text, REFUSALS[number % 2] if request.harmful else request.answer()))
    return out


def test_a_label_becomes_the_verdict_word_behind_the_prompt() -> None:
    verdicts, trainer = make(**NO_EXTRAS, epochs=1)
    metrics = verdicts.learn([labelled(1, 1.0), labelled(2, 0.0)], [], [], 0)
    assert points(trainer) == [
        ("how do i build kite 1?", "answer 1", 1.0), ("how do i build kite 2?", "answer 2", 0.0),
    ]  # fmt: skip
    assert metrics["expert_rows"] == 2
    assert trainer.version("critic") == 1


def test_a_pair_is_learned_in_both_orders_at_half_its_weight() -> None:
    verdicts, trainer = make(**NO_EXTRAS, epochs=1)
    verdicts.learn([labelled(1, 0.0, text="worse", second="better")], [], [], 0)
    (one, first_word), (other, second_word) = trainer.told()
    assert "First: worse\nSecond: better" in one
    assert "First: better\nSecond: worse" in other
    assert (first_word, second_word) == ("second", "first")
    assert [row["weight"] for row in trainer.rows] == [0.5, 0.5]


def test_a_tie_teaches_nothing() -> None:
    verdicts, trainer = make(**NO_EXTRAS)
    assert verdicts.learn([labelled(1, 0.5), labelled(2, 0.5, second="b")], [], [], 0)["expert_rows"] == 0
    assert trainer.version("critic") == 0


def test_of_old_labels_no_more_are_learned_than_a_round_bears() -> None:
    verdicts, trainer = make(**NO_EXTRAS, epochs=1, replayed=2)
    old = [labelled(number, 1.0) for number in range(6)]
    verdicts.learn(old, [], [], 0)
    assert len(points(trainer)) == 6
    learned = []
    for seed in (1, 2):
        verdicts.learn([*old, labelled(6 + seed, 1.0)], [], [], seed)
        said = {text for _, text, _ in points(trainer)}
        assert f"answer {6 + seed}" in said and len(said) == 3
        learned.append(said)
    assert learned[0] & learned[1] != learned[0], "others are replayed another time"


def test_new_labels_are_learned_for_several_epochs_and_old_ones_once() -> None:
    verdicts, trainer = make(**NO_EXTRAS, epochs=3)
    old = [labelled(1, 1.0), labelled(2, 0.0)]
    verdicts.learn(old, [], [], 0)
    assert set(Counter(said for _, said, _ in points(trainer)).values()) == {3}
    verdicts.learn([*old, labelled(3, 1.0)], [], [], 1)
    assert Counter(said for _, said, _ in points(trainer)) == {"answer 1": 1, "answer 2": 1, "answer 3": 3}


def test_a_restored_critic_knows_which_labels_are_old() -> None:
    verdicts, trainer = make(**NO_EXTRAS, epochs=3)
    verdicts.restore(verdicts.state(), [labelled(1, 1.0)])
    verdicts.learn([labelled(1, 1.0), labelled(2, 0.0)], [], [], 0)
    assert Counter(said for _, said, _ in points(trainer)) == {"answer 1": 1, "answer 2": 3}


def test_labels_count_alike_however_likely_they_were_drawn() -> None:
    verdicts, trainer = make(**NO_EXTRAS, epochs=1)
    verdicts.learn([labelled(1, 1.0, pi=1.0), labelled(2, 1.0, pi=0.001)], [], [], 0)
    assert [row["weight"] for row in trainer.rows] == [1.0, 1.0]


def test_items_that_are_held_back_are_never_trained_on() -> None:
    verdicts, trainer = make(synthetic_flaw_share=0.0, retention_rows=0, calibration_share=0.3, epochs=1)
    labels = [labelled(i, float(i % 2)) for i in range(60)]
    trained = set()
    for number in range(3):
        verdicts.learn(labels[: 20 * (number + 1)], [], [], number)
        trained |= {asked for asked, *_ in points(trainer)}
    exam, _ = verdicts.heldout()
    asked = {f"how do i build kite {q.removeprefix('q')}?" for q in exam.clusters}
    assert 8 < len(asked) < 30
    assert not asked & trained
    assert asked | trained == {item.query for item, _ in labels}


def test_both_answers_to_a_double_are_on_the_same_side() -> None:
    verdicts, trainer = make(synthetic_flaw_share=0.0, retention_rows=0, calibration_share=0.5, epochs=1)
    verdicts.learn([labelled(i, 1.0, annotator=who) for i in range(20) for who in ("ann", "bob")], [], [], 0)
    assert set(Counter(asked for asked, *_ in points(trainer)).values()) == {2}


def test_synthetic_flaws_are_put_into_good_answers_to_their_share_of_the_batch() -> None:
    verdicts, trainer = make(synthetic_flaw_share=0.5, retention_rows=0, calibration_share=0.0, epochs=1)
    metrics = verdicts.learn([labelled(i, 1.0) for i in range(12)], clean(False, True), [], 0)
    assert (metrics["expert_rows"], metrics["planted_rows"]) == (12, 12)
    right = [said for _, said, value in points(trainer) if value and not said.startswith("answer")]
    wrong = [(asked, said) for asked, said, value in points(trainer) if not value]
    assert len(right) == len(wrong) == 3
    assert all(oracle.acceptable(asked, said) == 0 for asked, said in wrong)


def test_without_labels_synthetic_flaws_teach_alone() -> None:
    verdicts, trainer = make(retention_rows=0, batch_size=8)
    metrics = verdicts.learn([], clean(False, True), [], 0)
    assert (metrics["expert_rows"], metrics["planted_rows"]) == (0, 32)
    assert trainer.version("critic") == 1


def test_without_anything_to_learn_nothing_is_trained() -> None:
    verdicts, trainer = make()
    assert verdicts.learn([], [], [("ask", "said")], 0)["planted_rows"] == 0
    assert trainer.version("critic") == 0


def test_a_needless_refusal_is_a_synthetic_flaw_where_helping_is_right() -> None:
    verdicts, trainer = make(retention_rows=0, batch_size=32)
    verdicts.learn([], clean(True, True), [], 0)
    refused = [(asked, said) for asked, said, value in points(trainer) if not value and said in REFUSALS]
    needless = [asked for asked, _ in refused if oracle.acceptable(asked, REFUSALS[0]) == 0]
    assert len(needless) > 3
    assert all(oracle.acceptable(asked, said) == 1 for asked, said, value in points(trainer) if value)


def test_no_refusal_is_a_synthetic_flaw_where_refusing_is_right() -> None:
    verdicts, trainer = make(retention_rows=0, batch_size=16)
    verdicts.learn([], clean(True, False), [], 0)
    assert not [1 for _, said, value in points(trainer) if not value and is_refusal(said)]


def test_the_seed_decides_which_synthetic_flaws_there_are() -> None:
    told = []
    for seed in (1, 1, 2):
        verdicts, trainer = make(retention_rows=0, batch_size=4)
        verdicts.learn([], clean(True, True), [], seed)
        told.append(trainer.told())
    assert told[0] == told[1] != told[2]


def of_two_minds(**settings: Any) -> tuple[VerdictModel, RecordingTrainer]:
    """A critic that has changed its mind about every answer called moved."""
    odds = {"sure": 4.0, "unsure": -0.2, "wrong": -4.0}

    def look(role: str, prompt: str) -> float:
        if "moved" in prompt:
            return 3.0 if role == "judge" else -3.0
        return next(x for word, x in odds.items() if f"Answer: {word} " in prompt or f"Answer: {word}\n" in prompt)

    return make(Scripted(odds=look), synthetic_flaw_share=0.0, calibration_share=0.0, epochs=1, **settings)


def test_initial_verdicts_are_retained_where_the_critic_still_agrees_by_their_certainty() -> None:
    verdicts, trainer = of_two_minds()
    metrics = verdicts.learn([labelled(1, 1.0)], [], [("q", word) for word in ("sure", "unsure", "wrong", "moved")], 0)
    weights = {
        said: (value, row["weight"]) for (_, said, value), row in zip(points(trainer), trainer.rows, strict=True)
    }
    assert set(weights) == {"answer 1", "sure", "unsure", "wrong"}
    assert metrics["rehearsed_rows"] == 3
    assert weights["sure"] == (1.0, pytest.approx(0.929 / 2, abs=1e-3))
    assert weights["wrong"] == (0.0, pytest.approx(0.929 / 2, abs=1e-3))
    assert weights["unsure"] == (0.0, pytest.approx(0.00993 / 2, abs=1e-4))


def test_initial_verdicts_on_what_an_expert_has_labelled_are_not_retained_even_when_held_back() -> None:
    verdicts, trainer = of_two_minds()
    labels = [labelled(1, 0.0, text="sure 1"), labelled(2, 1.0, text="wrong 2")]
    texts = [(item.query, item.first) for item, _ in labels]
    assert verdicts.learn(labels, [], [*texts, ("q", "sure")], 0)["rehearsed_rows"] == 1
    assert {(said, value) for _, said, value in points(trainer)} == {("sure 1", 0.0), ("wrong 2", 1.0), ("sure", 1.0)}
    held = critic(config(critic={"calibration_share": 1.0}), verdicts.generator, trainer)
    assert held.learn(labels, [], texts, 0)["rehearsed_rows"] == 0


def test_without_a_share_there_are_no_synthetic_flaws_even_where_there_are_no_labels() -> None:
    verdicts, trainer = make(retention_rows=0, synthetic_flaw_share=0.0)
    assert verdicts.learn([], [("how do i sell a kite?", "i will help you with that kite today.")], [], 0) == {
        "expert_rows": 0.0,
        "planted_rows": 0.0,
        "rehearsed_rows": 0.0,
        "steps": 0.0,
    }
    assert trainer.rows == []


def test_no_synthetic_flaw_is_put_into_what_an_expert_has_answered_about() -> None:
    verdicts, trainer = make(retention_rows=0, synthetic_flaw_share=0.8, calibration_share=0.0)
    rejected = labelled(1, 0.0, text="i will help you with that kite today.")
    text = rejected[0].query, rejected[0].first
    assert verdicts.learn([rejected], [text], [], 0)["planted_rows"] == 0
    assert verdicts.learn([rejected], [text, ("how do i sell a kite?", text[1])], [], 0)["planted_rows"] > 0
    assert (text[1], 1.0) not in {(said, value) for asked, said, value in points(trainer) if text[0] in asked}


def test_no_more_initial_verdicts_are_retained_than_asked_for_and_equal_texts_once() -> None:
    verdicts, _ = of_two_minds(retention_rows=5)
    assert verdicts.learn([labelled(1, 1.0)], [], [("q", f"sure {i}") for i in range(20)], 0)["rehearsed_rows"] == 5
    assert verdicts.learn([labelled(1, 1.0)], [], [("q", "sure")] * 20, 0)["rehearsed_rows"] == 1


def test_learning_moves_the_verdicts_towards_the_labels() -> None:
    generator, trainer = serve(), RecordingTrainer()
    verdicts = critic(config(critic={**NO_EXTRAS, "learning_rate": 1e-3}), generator, trainer)
    refused = [(query(item.query), item, label) for item, label in (labelled(i, 1.0, REFUSALS[0]) for i in range(16))]
    cases = [(asked, response(asked, item.first)) for asked, item, _ in refused]
    before = [j.p for j in verdicts.judge_points(cases, 0)]
    verdicts.learn([(item, label) for _, item, label in refused], [], [], 0)
    generator.load_adapter("critic", trainer.adapter("critic"), trainer.version("critic"))
    after = verdicts.judge_points(cases, 0)
    assert sum(before) / 16 < 0.5 < sum(j.p for j in after) / 16
    assert {j.version for j in after} == {1}


def test_a_frozen_judge_cannot_learn() -> None:
    with pytest.raises(ValueError, match="frozen"):
        critic(config(), Scripted(), role="judge").learn([labelled(1, 1.0)], [], [], 0)


def test_only_the_verdict_word_is_learned() -> None:
    verdicts, trainer = make(**NO_EXTRAS)
    verdicts.learn([labelled(1, 1.0), labelled(2, 0.0, second="b")], [], [], 0)
    assert {CHAT.decode(row["completion_ids"]) for row in trainer.rows} == {"yes", "first", "second"}
    assert {len(row["completion_ids"]) for row in trainer.rows} == {1}
