"""What can be answered on the page: one of an item's choices, or one question after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Form

from superalign.experts.interchange import ANSWERS
from superalign.experts.items import Item
from superalign.experts.questions import SAID, Questions
from superalign.experts.web.security import Refused
from superalign.records import DimensionValue, by_dimension

FormText = Annotated[str, Form()]
LETTERS: Final = {"y": "yes", "n": "no", "t": "tie"}
"""Answers to questions by their keys, and as an address keeps them: `yn` is yes to the first, no to the second."""
VERDICTS: Final = {1.0: "Acceptable", 0.0: "Not acceptable", 0.5: "Cannot say"}


@dataclass(frozen=True)
class Choice:
    """One possible answer: its name in a form, its key and its words."""

    answer: str
    key: str
    words: str


CHOICES: Final = {
    "pair": (
        Choice("a", "1", "Answer 1 is better"),
        Choice("b", "2", "Answer 2 is better"),
        Choice("tie", "t", "Equally good"),
    ),
    "point": (
        Choice("accept", "a", "Acceptable"),
        Choice("refuse", "r", "Not acceptable"),
        Choice("tie", "t", "Cannot say"),
    ),
}


@dataclass(frozen=True)
class Step:
    """Where somebody stands who is asked question by question.

    Attributes:
        said: the letters of what was answered so far; `back` are those before the last.
        answers: the same as questions and words.
        question: what is asked now, by `choices`; None where nothing is left to ask, and `verdict` tells the outcome.
    """

    said: str
    back: str
    answers: tuple[tuple[str, str], ...]
    question: str | None
    choices: tuple[Choice, ...]
    verdict: str


def step(questions: Questions, said: str) -> Step:
    """The step after these letters.

    Raises:
        Refused: they are no answers to the questions that come up.
    """
    answers, dimensions = answers_of(questions, said), questions.policy.dimensions
    told = tuple(
        (dimensions[name].question, questions.words(name)[LETTERS[letter]])
        for name, letter in zip(answers, said, strict=True)
    )
    name = questions.next(answers)
    if name is None:
        return Step(said, said[:-1], told, None, (), VERDICTS[questions.verdict(answers)])
    words = questions.words(name)
    choices = tuple(Choice(said + key, key, capital(words[answer])) for key, answer in LETTERS.items())
    return Step(said, said[:-1], told, dimensions[name].question, choices, "")


def answers_of(questions: Questions, said: str) -> dict[str, float]:
    """The answers by dimension, in the order in which they were asked for.

    Raises:
        Refused: a letter is no answer, or there are more than questions come up.
    """
    answers = dict[str, float]()
    for letter in said:
        name = questions.next(answers)
        if name is None or letter not in LETTERS:
            raise Refused(400, "There is no such answer to this item.")
        answers[name] = SAID[LETTERS[letter]]
    return answers


def letters_of(questions: Questions, answers: Mapping[str, float]) -> str:
    """The letters of answers that were kept, as far as they go."""
    keys, said = {SAID[word]: key for key, word in LETTERS.items()}, dict[str, float]()
    while (name := questions.next(said)) is not None and name in answers:
        said[name] = answers[name]
    return "".join(keys[p] for p in said.values())


def verdict_of(
    item: Item | None, questions: Questions | None, answer: str, said: str
) -> tuple[float, dict[str, float]]:
    """The value, about what was shown, of an answer to this item, or to any; and the dimensions it is composed of.

    Raises:
        Refused: there is no such answer, or a question that matters is not answered.
    """
    if questions is None or (item is not None and item.kind == "pair") or (item is None and answer):
        return value_of(item, answer), {}
    answers = answers_of(questions, said)
    if questions.next(answers) is not None:
        raise Refused(400, "There is no such answer to this item.")
    return questions.verdict(answers), answers


def chosen_of(
    item: Item, questions: Questions | None, answer: str, said: Sequence[str]
) -> tuple[float, dict[str, float]] | None:
    """What a form that asks everything at once holds, as of `verdict_of`; None where a question that matters is open.

    Raises:
        Refused: there is no such answer.
    """
    if questions is None or item.kind == "pair":
        return value_of(item, answer), {}
    if len(said) != len(questions.names) or not set(said) <= {"", *SAID}:
        raise Refused(400, "There is no such answer to this item.")
    answers = {name: SAID[word] for name, word in zip(questions.names, said, strict=True) if word}
    return None if questions.next(answers) else (questions.verdict(answers), answers)


def told(item: Item, value: float, questions: Questions | None, dimensions: Sequence[DimensionValue]) -> str:
    """An answer in words, `value` about what was shown."""
    whole = next(c.words for c in CHOICES[item.kind] if ANSWERS[item.kind][c.answer] == value)
    if questions is None or not dimensions:
        return whole
    names = {name: {SAID[word]: words for word, words in questions.words(name).items()} for name in questions.names}
    parts = [names[name][p] for name, p in by_dimension(dimensions).items() if name in names]
    return f"{whole} ({', '.join(parts)})"


def value_of(item: Item | None, answer: str) -> float:
    """The value, about what was shown, of an answer to this item, or to any.

    Raises:
        Refused: there is no such answer.
    """
    for kind, answers in ANSWERS.items():
        if answer in answers and (item is None or item.kind == kind):
            return answers[answer]
    raise Refused(400, "There is no such answer to this item.")


def capital(words: str) -> str:
    """With a capital letter, as buttons have it."""
    return words[:1].upper() + words[1:]
