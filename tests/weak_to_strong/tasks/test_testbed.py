"""The tasks in the testbed's grammar: balanced, drawn by seed, and right by the oracle."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from superalign.errors import UserError
from superalign.registry import TASKS
from superalign.testbed import oracle
from superalign.testbed.world import NEUTRAL_CONTEXTS, OFFENSIVE_CONTEXTS, REFUSALS, Request
from superalign.weak_to_strong.base import Task, Text
from superalign.weak_to_strong.protocol import split_groups
from superalign.weak_to_strong.tasks.registry import load_task, make_task

EMBEDDED = sorted(set(TASKS.builtin) - {"digits"})
CLASSIFY = [name for name in EMBEDDED if make_task(name).kind == "classify"]
GENERATE = [name for name in EMBEDDED if make_task(name).kind == "generate"]
ATTACKED = ("clauses", "refusal", "safety", "toxicity")


@cache
def embedded(name: str, seed: int = 0, limit: int | None = None) -> Task:
    return load_task(name, limit=limit, seed=seed)


def texts(task: Task) -> tuple[Text, ...]:
    assert not isinstance(task.rows.inputs, np.ndarray)
    return task.rows.inputs


def asked(text: Text) -> Request:
    request = oracle.parse(text.prompt)
    assert request is not None
    return request


@pytest.mark.parametrize("name", EMBEDDED)
def test_an_embedded_task_has_about_1600_rows_with_groups_and_ids_of_their_own(name: str) -> None:
    task = embedded(name)
    assert 1450 <= len(task.rows) <= 1600
    assert all(task.rows.groups) and len(set(task.rows.groups)) >= 500
    assert len(set(task.rows.ids)) == len(task.rows)


@pytest.mark.parametrize("name", EMBEDDED)
def test_no_class_is_much_more_frequent_than_another(name: str) -> None:
    task = embedded(name)
    shares = np.bincount(task.labels, minlength=len(task.classes)) / len(task.labels)
    assert np.abs(shares - 1 / len(task.classes)).max() < 0.05


@pytest.mark.parametrize("name", EMBEDDED)
def test_rows_are_drawn_by_seed(name: str) -> None:
    first, again, other = (load_task(name, limit=200, seed=seed) for seed in (1, 1, 2))
    assert first.rows == again.rows and first.targets == again.targets
    assert (first.labels == again.labels).all()
    assert set(first.rows.ids) != set(other.rows.ids)


@pytest.mark.parametrize("name", EMBEDDED)
def test_a_limit_is_kept(name: str) -> None:
    assert 170 <= len(load_task(name, limit=200).rows) <= 200


def test_a_limit_beyond_the_world_is_told() -> None:
    with pytest.raises(UserError, match=r"lower data\.limit"):
        load_task("safety", limit=100_000)


@pytest.mark.parametrize("name", EMBEDDED)
def test_requests_under_attack_are_the_same_rows_with_the_same_meaning(name: str) -> None:
    task = embedded(name)
    if name not in ATTACKED:
        assert task.attacked is None
        return
    assert task.attacked is not None and not isinstance(task.attacked.inputs, np.ndarray)
    assert (task.attacked.ids, task.attacked.groups) == (task.rows.ids, task.rows.groups)
    for plain, wrapped in zip(texts(task), task.attacked.inputs, strict=True):
        assert wrapped.prompt != plain.prompt and wrapped.response == plain.response
        assert asked(wrapped) == asked(plain)


def test_an_answer_is_right_where_the_oracle_calls_it_full() -> None:
    task = embedded("qa")
    for text, label in zip(texts(task), task.labels, strict=True):
        assert (oracle.outcome(asked(text), text.response) == "full") == label
    assert set(Counter(task.rows.groups).values()) == {2}


def test_a_response_is_unsafe_where_it_helps_with_harm() -> None:
    task = embedded("safety")
    kinds = Counter()
    for text, label in zip(texts(task), task.labels, strict=True):
        request = asked(text)
        assert label == (request.harmful and oracle.attack_succeeded(request, text.response))
        kinds[request.harmful, oracle.attack_succeeded(request, text.response), int(label)] += 1
    # Neither the request nor the response alone tells.
    assert min(kinds[True, True, 1], kinds[True, False, 0], kinds[False, True, 0]) > 250


def test_the_better_of_a_pair_has_the_higher_score() -> None:
    task = embedded("pairs")
    assert task.rows.seconds is not None and not isinstance(task.rows.seconds, np.ndarray)
    for first, second, label in zip(texts(task), task.rows.seconds, task.labels, strict=True):
        assert first.prompt == second.prompt
        better = oracle.score(first.prompt, first.response) > oracle.score(second.prompt, second.response)
        assert better == label


def test_the_purpose_decides_and_not_the_one_told_beside_it() -> None:
    task = embedded("toxicity")
    told = 0
    for text, label in zip(texts(task), task.labels, strict=True):
        assert (asked(text).context in OFFENSIVE_CONTEXTS) == label
        told += any(context in text.prompt for context in (NEUTRAL_CONTEXTS if label else OFFENSIVE_CONTEXTS))
    assert told > len(task.rows) / 2  # the others are spelled or split by an attack


def test_a_clause_is_of_the_category_of_its_object() -> None:
    task = embedded("clauses")
    assert len(task.classes) == 7
    for text, label in zip(texts(task), task.labels, strict=True):
        assert asked(text).category == task.classes[label]


def test_a_statement_follows_from_the_rule_about_its_act() -> None:
    task = embedded("nli")
    for text, label in zip(texts(task), task.labels, strict=True):
        act = text.response.removeprefix("you may ")
        allowed, forbidden = (f"to {act} is {word}." in text.prompt for word in ("allowed", "forbidden"))
        assert task.classes[label] == ("entailment" if allowed else "contradiction" if forbidden else "not mentioned")


def test_each_question_about_a_policy_has_a_relevant_segment_and_another() -> None:
    task = embedded("policy")
    assert set(Counter(task.rows.groups).values()) == {2}
    for text, label in zip(texts(task), task.labels, strict=True):
        request = asked(text)
        part, tool, technique, _ = request.facts
        bears = f"{request.verb} a {request.thing}" in text.response or (
            part in text.response and tool in text.response and technique in text.response
        )
        assert bears == label


@pytest.mark.parametrize("name", GENERATE)
def test_the_targets_of_generations_are_graded_as_right(name: str) -> None:
    task = embedded(name)
    assert task.targets is not None and task.grade is not None
    for identity, target in zip(task.rows.ids, task.targets, strict=True):
        assert task.grade(identity, target)["accuracy"] == 1


@pytest.mark.parametrize("name", GENERATE)
def test_babble_is_no_right_completion(name: str) -> None:
    task = embedded(name)
    assert task.grade is not None
    for identity in task.rows.ids[:50]:
        assert task.grade(identity, "the the the")["accuracy"] == 0


def test_harm_is_graded_of_harmful_requests_and_over_refusal_of_benign_ones() -> None:
    task = embedded("refusal")
    assert task.grade is not None
    for identity, text, harmful in zip(task.rows.ids, texts(task), task.labels, strict=True):
        helped, refused = task.grade(identity, asked(text).answer()), task.grade(identity, REFUSALS[0])
        if harmful:
            assert (helped, refused) == ({"accuracy": 0, "harm": 1}, {"accuracy": 1, "harm": 0})
        else:
            assert (helped, refused) == ({"accuracy": 1, "over_refusal": 0}, {"accuracy": 0, "over_refusal": 1})


def test_an_offensive_purpose_is_no_right_continuation() -> None:
    task = embedded("continuation")
    assert task.grade is not None
    for identity in task.rows.ids[:50]:
        assert task.grade(identity, "to rob a shop.")["accuracy"] == 0


def accuracy(features: NDArray[np.float32], task: Task) -> float:
    """Held-out accuracy of logistic regression on half of the rows, by group."""
    from sklearn.linear_model import LogisticRegression

    seen, held = split_groups(task.rows.groups, (0.5, 0.5), 0)
    model = LogisticRegression(max_iter=500).fit(features[seen], task.labels[seen])
    return float(model.score(features[held], task.labels[held]))


@pytest.mark.parametrize("name", CLASSIFY)
def test_sixty_words_leave_something_for_a_stronger_model(name: str) -> None:
    from superalign.weak_to_strong.models.features import featuriser

    task = embedded(name)
    assert accuracy(featuriser("words", "60", task.rows)(task.rows.inputs), task) < 0.85


@pytest.mark.parametrize("name", CLASSIFY)
def test_the_larger_model_reads_more_than_chance(name: str) -> None:
    from superalign.weak_to_strong.models.features import featuriser

    task = embedded(name, limit=800)
    chance = float(np.bincount(task.labels).max() / len(task.labels))
    assert accuracy(featuriser("probe", "testbed", task.rows)(task.rows.inputs), task) > chance + 0.05
