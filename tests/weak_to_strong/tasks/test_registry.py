"""The registry of tasks, and what every task goes through: each text once, classes balanced, rows limited."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from superalign.errors import UserError
from superalign.registry import TASKS
from superalign.weak_to_strong.base import Task, Text
from superalign.weak_to_strong.tasks.builtin import Digits
from superalign.weak_to_strong.tasks.examples import MAX_SHARE, MIN_ROWS, Draft, Example, assemble, balanced, limited
from superalign.weak_to_strong.tasks.registry import load_task, make_task
from superalign.weak_to_strong.tasks.texts import TextTask


def examples(zeros: int, ones: int, group: int = 1) -> list[Example]:
    """Rows of one text each, `group` neighbours of a class in one group."""
    labels = [0] * zeros + [1] * ones
    return [Example(f"{label} {i // group}", Text(f"text {i}"), label) for i, label in enumerate(labels)]


def task(drafted: list[Example], limit: int | None = None) -> Task:
    return assemble("toxicity", "classify", Draft(("nontoxic", "toxic"), drafted), "a.jsonl", limit, seed=0)


def test_listing_the_tasks_and_methods_imports_nothing_heavy_and_none_of_them() -> None:
    code = (
        "import sys; from superalign.registry import METHODS, TASKS; print(len(TASKS.names()), len(METHODS.names())); "
        "heavy = {'torch', 'sklearn', 'datasets', 'transformers', 'superalign.weak_to_strong'}; "
        "print(heavy & set(sys.modules))"
    )
    listed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert listed.stdout.split("\n") == ["11 17", "set()", ""]


def test_every_task_tells_its_summary_its_fields_and_its_models() -> None:
    for name, line in TASKS.names().items():
        spec = make_task(name)
        assert spec.name == name and line
        assert isinstance(spec, Digits) or (isinstance(spec, TextTask) and spec.fields)
        for source in ("testbed", "rows.jsonl"):
            models = spec.models(source)
            assert ":" in models.weak and ":" in models.strong and models.weak != models.strong
            assert all(":" in between for between in models.via)


def test_an_unknown_task_is_told_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown task 'safty'; did you mean safety\?"):
        load_task("safty")


def test_digits_are_images_between_0_and_1_in_two_balanced_classes() -> None:
    digits = load_task("digits")
    inputs = digits.rows.inputs
    assert isinstance(inputs, np.ndarray)
    assert inputs.shape == (1797, 64) and inputs.dtype == np.float32
    assert inputs.min() == 0 and inputs.max() == 1
    assert abs(digits.labels.mean() - 0.5) < 0.01
    assert digits.rows.groups == digits.rows.ids


def test_a_limit_of_digits_keeps_their_ids() -> None:
    whole, part = load_task("digits"), load_task("digits", limit=100, seed=1)
    assert len(part.rows) == 100
    assert set(part.rows.ids) <= set(whole.rows.ids)
    assert load_task("digits", limit=100, seed=2).rows.ids != part.rows.ids


def test_digits_refuse_another_source() -> None:
    with pytest.raises(UserError, match=r"data\.source=rows\.csv: task digits has its own images"):
        load_task("digits", "rows.csv")


def test_a_limit_below_what_a_task_needs_is_refused() -> None:
    with pytest.raises(UserError, match=r"data\.limit=39: a task needs at least 40 rows"):
        load_task("safety", limit=39)


def test_a_text_counts_once_with_its_first_label() -> None:
    twice = [*examples(30, 30), Example("0 0", Text("text 0"), 1)]
    assert len(task(twice).rows) == 60
    assert task(twice).labels[0] == 0


def test_the_larger_of_two_classes_is_cut_to_the_smaller_beyond_the_papers_share() -> None:
    assert Counter(task(examples(80, 30)).labels.tolist()) == {0: 30, 1: 30}
    assert Counter(task(examples(54, 46)).labels.tolist()) == {0: 54, 1: 46}


def test_which_rows_are_cut_is_drawn_by_seed() -> None:
    cuts = [[e.id for e in balanced(examples(80, 30), seed)] for seed in (1, 1, 2)]
    assert cuts[0] == cuts[1] != cuts[2]


def test_balancing_takes_whole_groups_of_the_larger_class_before_it_touches_mixed_ones() -> None:
    alone = [Example(f"alone {i // 2}", Text(f"alone {i}"), 0) for i in range(40)]
    mixed = [Example(f"mixed {i // 2}", Text(f"mixed {i}"), i % 2) for i in range(60)]
    kept = balanced(alone + mixed, seed=0)
    assert kept == mixed


def test_several_classes_are_left_as_they_are() -> None:
    rows = [Example(str(i), Text(f"text {i}"), min(i // 10, 2)) for i in range(60)]
    made = assemble("nli", "classify", Draft(("a", "b", "c"), rows), "a.jsonl", None, 0)
    assert Counter(made.labels.tolist()) == {0: 10, 1: 10, 2: 40}


def test_a_limit_draws_whole_groups_by_seed() -> None:
    rows = examples(60, 60, group=3)
    draws = [limited(rows, 50, seed) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert set(Counter(e.group for e in draws[0]).values()) == {3}
    assert 48 <= len(draws[0]) <= 50


def test_a_limit_keeps_two_classes_within_the_papers_share() -> None:
    for seed in range(20):
        labels = [e.label for e in limited(examples(100, 100), 60, seed, MAX_SHARE)]
        assert max(Counter(labels).values()) <= MAX_SHARE * 60


def test_too_few_rows_are_told_with_how_many_there_are() -> None:
    with pytest.raises(UserError, match=rf"a\.jsonl: task toxicity has 39 rows that differ: at least {MIN_ROWS}"):
        task(examples(20, 19))


def test_too_few_rows_after_balancing_are_told_as_such() -> None:
    with pytest.raises(UserError, match="its larger class cut to the size of the smaller, has 20 rows"):
        task(examples(90, 10))


def test_groups_too_large_for_the_limit_are_told_as_such() -> None:
    with pytest.raises(UserError, match=r"data\.limit=45: task toxicity, its groups kept whole, has no rows"):
        task(examples(50, 50, group=50), limit=45)


def test_one_class_alone_is_refused() -> None:
    with pytest.raises(UserError, match="every row is of class 'toxic': task toxicity needs rows of at least two"):
        task(examples(0, 60))


def test_a_label_with_nearly_as_many_values_as_rows_is_no_class() -> None:
    rows = [Example(str(i), Text(f"text {i}"), i) for i in range(60)]
    with pytest.raises(UserError, match="the label has 60 values over 60 rows"):
        assemble("clauses", "classify", Draft(tuple(map(str, range(60))), rows), "a.jsonl", None, 0)


def test_a_pair_is_the_same_in_either_order() -> None:
    one, other = Text("ask", "yes"), Text("ask", "no")
    assert Example("g", one, 1, second=other).id == Example("g", other, 0, second=one).id
