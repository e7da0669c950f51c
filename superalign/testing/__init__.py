"""Conformance checks: what the author of a plug-in runs in a test of their own.

    from superalign.testing import check_learner

    def test_my_learner() -> None:
        check_learner("my_package.algorithms:Mine", {"tau": 0.3})

Each check takes a class, or what settings would name it by, and its settings. It puts the plug-in through what a run
does with it, on the embedded testbed and its smaller model, in seconds and offline. It returns nothing if all is well,
and raises an AssertionError that says in a sentence what is wrong otherwise.
"""

from superalign.testing.attackers import check_attacker, check_family
from superalign.testing.critics import check_critic
from superalign.testing.judges import check_judge, check_suite
from superalign.testing.learners import check_learner
from superalign.testing.recipes import check_recipe
from superalign.testing.weak_to_strong import check_method, check_task

__all__ = [
    "check_attacker",
    "check_critic",
    "check_family",
    "check_judge",
    "check_learner",
    "check_method",
    "check_recipe",
    "check_suite",
    "check_task",
]
