"""A weak-to-strong task: is the review of a film positive?"""

from __future__ import annotations

import random
from collections.abc import Sequence

from superalign.weak_to_strong.base import Text
from superalign.weak_to_strong.tasks.examples import Draft, Example
from superalign.weak_to_strong.tasks.fields import TaskRow
from superalign.weak_to_strong.tasks.texts import TextTask

CLASSES = ("negative", "positive")
WORDS = (("dull", "empty", "long", "loud"), ("fine", "warm", "rich", "sharp"))
FILLERS = ("film", "plot", "scene", "actor", "score", "ending", "cut", "light")


class Reviews(TextTask):
    """Reviews of films, generated, or read from a file with the columns review and label."""

    name = "reviews"
    fields = ("review", "label")

    def embedded(self, n: int, seed: int) -> Draft:
        """Reviews in which two words of three are of the right side."""
        rng, examples = random.Random(f"reviews/{seed}"), []
        for number in range(n):
            label = number % 2
            sides = [label, label, 1 - label]
            words = [f"{rng.choice(WORDS[side])} {rng.choice(FILLERS)}" for side in sides]
            text = f"review {number}: {', '.join(rng.sample(words, 3))}"
            examples.append(Example(text, Text(text), label))
        return Draft(CLASSES, examples)

    def read(self, rows: Sequence[TaskRow], seed: int) -> Draft:
        """Reviews of a file."""
        found = [(row.text("review"), row.label({"0", "negative"}, {"1", "positive"})) for row in rows]
        return Draft(CLASSES, [Example(text, Text(text), label) for text, label in found])
