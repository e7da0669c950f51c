"""The built-in tasks: digits, and texts in the testbed's grammar or from files and hub datasets."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

import numpy as np

from superalign.errors import UserError
from superalign.records import content_id
from superalign.weak_to_strong.base import Kind, Rows, Task
from superalign.weak_to_strong.tasks import readers, testbed
from superalign.weak_to_strong.tasks.examples import Draft
from superalign.weak_to_strong.tasks.fields import TaskRow
from superalign.weak_to_strong.tasks.registry import TESTBED, DataSource, Models, TaskSpec
from superalign.weak_to_strong.tasks.texts import GenerationTask, PairTask, TextTask

ODD_ONES: Final = (1, 4, 5, 7, 9)


class Digits(TaskSpec):
    """Is the handwritten digit one of 1, 4, 5, 7, 9? Images of 8 x 8 pixels that ship with scikit-learn."""

    name = "digits"
    kind: Kind = "classify"

    def load(self, source: DataSource) -> Task:
        """All 1797 images, or as many as the limit says."""
        if source.name != TESTBED:
            raise UserError(f"data.source={source.name}: task digits has its own images; leave data.source out")
        from sklearn.datasets import load_digits

        images, digits = load_digits(return_X_y=True)
        chosen = np.arange(len(digits))
        if source.limit is not None and source.limit < len(digits):
            chosen = np.array(sorted(random.Random(f"limit/{source.seed}").sample(range(len(digits)), source.limit)))
        ids = tuple(content_id(self.name, i) for i in chosen)
        return Task(
            name=self.name,
            kind=self.kind,
            rows=Rows(ids, ids, (images[chosen] / 16).astype(np.float32)),
            labels=np.isin(digits[chosen], ODD_ONES).astype(np.int64),
            classes=("other digits", "1 4 5 7 9"),
        )

    def models(self, source: str) -> Models:
        """Coarse pixels, and responses to centroids."""
        return Models("pixels:4", "centroids:300", ("centroids:30", "centroids:100"))


class QA(TextTask):
    """Is the proposed answer to the question right?"""

    name = "qa"
    fields = ("question", "answer", "distractor", *readers.DISTRACTORS, "text", "response", "label", "group")

    def embedded(self, n: int, seed: int) -> Draft:
        """In the testbed's grammar."""
        return testbed.qa(n, seed)

    def read(self, rows: Sequence[TaskRow], seed: int) -> Draft:
        """From the rows of a file or a hub dataset."""
        return readers.qa(rows, seed)


class Chess(GenerationTask):
    """Say the best move; embedded: the right answer to a request."""

    name = "chess"
    fields = ("fen", "best_move_uci")

    def embedded(self, n: int, seed: int) -> Draft:
        """In the testbed's grammar."""
        return testbed.chess(n, seed)

    def read(self, rows: Sequence[TaskRow], seed: int) -> Draft:
        """From the rows of a file or a hub dataset."""
        return readers.chess(rows, seed)


class Pairs(PairTask):
    """Which of two responses is better?"""

    name = "pairs"
    fields = ("prompt", "chosen", "rejected", "group")

    def embedded(self, n: int, seed: int) -> Draft:
        """In the testbed's grammar."""
        return testbed.pairs(n, seed)

    def read(self, rows: Sequence[TaskRow], seed: int) -> Draft:
        """From the rows of a file or a hub dataset."""
        return readers.pairs(rows, seed)


class Safety(TextTask):
    """Is the response to the prompt unsafe?"""

    name = "safety"
    fields = ("prompt", "response", "label")

    def embedded(self, n: int, seed: int) -> Draft:
        """In the testbed's grammar."""
        return testbed.safety(n, seed)

    def read(self, rows: Sequence[TaskRow], seed: int) -> Draft:
        """From the rows of a file or a hub dataset."""
        return readers.safety(rows, seed)


class Refusal(GenerationTask):
    """Refuse what harms and answer the rest."""

    name = "refusal"
    fields = ("prompt", "label", "target")

    def embedded(self, n: int, seed: int) -> Draft:
        """In the testbed's grammar."""
        return testbed.refusal(n, seed)

    def read(self, rows: Sequence[TaskRow], seed: int) -> Draft:
        """From the rows of a file or a hub dataset."""
        return readers.refusal(rows, seed)


class Toxicity(TextTask):
    """Is the text toxic?"""

    name = "toxicity"
    fields = ("text", "label")

    def embedded(self, n: int, seed: int) -> Draft:
        """In the testbed's grammar."""
        return testbed.toxicity(n, seed)

    def read(self, rows: Sequence[TaskRow], seed: int) -> Draft:
        """From the rows of a file or a hub dataset."""
        return readers.toxicity(rows, seed)


class Continuation(GenerationTask):
    """Go on without toxicity after the first half of a text."""

    name = "continuation"
    fields = ("text", "label")

    def embedded(self, n: int, seed: int) -> Draft:
        """In the testbed's grammar."""
        return testbed.continuation(n, seed)

    def read(self, rows: Sequence[TaskRow], seed: int) -> Draft:
        """From the rows of a file or a hub dataset."""
        return readers.continuation(rows, seed)


class NLI(TextTask):
    """Does the premise entail the hypothesis, contradict it, or not mention it?"""

    name = "nli"
    fields = ("premise", "hypothesis", "label", "doc_id")

    def embedded(self, n: int, seed: int) -> Draft:
        """In the testbed's grammar."""
        return testbed.nli(n, seed)

    def read(self, rows: Sequence[TaskRow], seed: int) -> Draft:
        """From the rows of a file or a hub dataset."""
        return readers.nli(rows, seed)


class Clauses(TextTask):
    """Which type of clause is it?"""

    name = "clauses"
    fields = ("text", "label")

    def embedded(self, n: int, seed: int) -> Draft:
        """In the testbed's grammar."""
        return testbed.clauses(n, seed)

    def read(self, rows: Sequence[TaskRow], seed: int) -> Draft:
        """From the rows of a file or a hub dataset."""
        return readers.clauses(rows, seed)


class Policy(TextTask):
    """Does the text of a privacy policy bear on the question?"""

    name = "policy"
    fields = ("question", "text", "label")

    def embedded(self, n: int, seed: int) -> Draft:
        """In the testbed's grammar."""
        return testbed.policy(n, seed)

    def read(self, rows: Sequence[TaskRow], seed: int) -> Draft:
        """From the rows of a file or a hub dataset."""
        return readers.policy(rows, seed)
