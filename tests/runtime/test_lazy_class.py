"""What a driver imports, and what it leaves to its actors."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from superalign.generation.backends import HF, VLLM
from superalign.loop.workers import TRAINER
from superalign.runtime.lazy_class import LazyClass, methods

HEAVY = ("torch", "transformers", "peft", "trl", "datasets", "accelerate", "sklearn", "pandas", "ray", "vllm")


def test_one_is_made_as_by_the_class_itself() -> None:
    later: LazyClass[list[int]] = LazyClass("builtins", "list", (list,))
    assert later("abc") == ["a", "b", "c"]
    assert methods(later) == methods(list) >= {"append", "sort"}


@pytest.mark.parametrize("later", [HF, VLLM, TRAINER], ids=lambda later: later.name)
def test_the_class_has_every_method_that_is_promised(later: LazyClass[object]) -> None:
    assert methods(later) <= methods(getattr(import_module(later.module), later.name))


def test_a_driver_imports_nothing_that_its_actors_compute_with() -> None:
    script = f"import sys, recipes.selfplay; print([name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "[]\n"
