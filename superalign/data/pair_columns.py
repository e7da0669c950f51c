"""Preference pairs in a table: prompt, better and worse answer, in the columns and forms that are in use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from superalign.config.sections import DataConfig
from superalign.data.columns import missing_column, once, one_column_each, told_columns
from superalign.data.dialogues import Turn, carried, split_pair, turns_of
from superalign.data.forms import Table, cell, is_empty, shown
from superalign.data.layouts import by_lower
from superalign.errors import UserError

FIELDS: Final = ("prompt", "chosen", "rejected")
ANSWERS: Final = (  # columns of the better and the worse answer, where they are known
    ("chosen", "rejected"),
    ("response_j", "response_k"),
    ("chosen_response", "rejected_response"),
    ("preferred", "dispreferred"),
)
PROMPTS: Final = (  # columns of the prompt, joined where there are several
    ("prompt",),
    ("system", "question"),
    ("question",),
    ("instruction", "input"),
    ("instruction",),
    ("query",),
)
SCORES: Final = (("score_chosen", "score_rejected"), ("chosen_score", "rejected_score"))
SAME: Final = "with equal answers"
NO_ANSWER: Final = "without an answer"
NO_PROMPT: Final = "without a prompt"
PARTED: Final = "whose dialogues differ before the last answer"
UNSURE: Final = "pairs whose chosen answer has the lower score, taken as they are labelled"
FURTHER: Final = "answers of several turns, of which the last counts"


@dataclass(frozen=True, slots=True)
class PairColumns:
    """Where the three texts stand in one table.

    Attributes:
        prompt: columns that are joined; none where chosen and rejected begin with it.
        chosen, rejected: of the answers.
        scores: of the two answers, where there are any.
        layout: how the table was understood, for people.
    """

    prompt: tuple[str, ...]
    chosen: str
    rejected: str
    scores: tuple[str, str] | None
    layout: str

    @classmethod
    def of(cls, config: DataConfig, table: Table) -> PairColumns:
        """The columns of a table.

        Raises:
            UserError: there are none for the answers, a named one is missing, or one is there twice.
        """
        told, columns = config.columns, by_lower(table.columns)
        known = next((pair for pair in ANSWERS if columns.keys() >= set(pair)), None)
        answers: list[str] = []
        for number, field in enumerate(FIELDS[1:]):
            if field in told:
                name = one_column_each({field: told[field]})[field]
                answers += told_columns(table, name, field)
            elif known:
                answers += once(table, (columns[known[number]],), field)
            else:
                raise UserError(_no_answers(table, field))
        prompt: tuple[str, ...] = ()
        if "prompt" in told:
            prompt = told_columns(table, told["prompt"], "prompt")
        elif found := next((names for names in PROMPTS if columns.keys() >= set(names)), None):
            prompt = once(table, tuple(columns[name] for name in found), "prompt")
        scores = next((pair for pair in SCORES if columns.keys() >= set(pair)), None)
        asked = f"prompt from {' and '.join(prompt)}" if prompt else "prompt implicit in the answers"
        return cls(
            prompt=prompt,
            chosen=answers[0],
            rejected=answers[1],
            scores=scores and (columns[scores[0]], columns[scores[1]]),
            layout=f"{asked}, better answer from {answers[0]}, worse one from {answers[1]}",
        )

    def pair(self, where: str, row: Mapping[str, Any], notes: Counter[str]) -> tuple[str, str, str] | str:
        """Prompt, chosen and rejected of a row, or why it is left out; what was changed is counted.

        Answers that are whole dialogues hold the prompt, as TRL takes them; a column of prompts is then not read.

        Raises:
            UserError: a column holds neither text nor a dialogue, or nothing tells the prompt.
        """
        better, worse = cell(row, self.chosen), cell(row, self.rejected)
        if is_empty(better) or is_empty(worse):
            return NO_ANSWER
        prompt, whole = self._prompt(where, row), split_pair(where, better, worse)
        if whole is not None and (not prompt or any(turn.role == "user" for turn in whole[0])):
            prompt, chosen, rejected = whole
            if chosen == rejected:
                return SAME
            if not prompt or prompt[-1].role != "user":
                return PARTED
        else:
            chosen, rejected = (
                _turns(where, column, value) for column, value in ((self.chosen, better), (self.rejected, worse))
            )
        if not self.prompt and whole is None:
            raise UserError(
                f"{where}: no column of prompts, and {self.chosen} and {self.rejected} are no dialogues, which would "
                f"begin with one; set data.columns.prompt= to one of {shown(row)}"
            )
        asked = carried(prompt, notes, keep_system=True)
        first, second = _answer(chosen, notes), _answer(rejected, notes)
        if not asked:
            return NO_PROMPT
        if not first or not second:
            return NO_ANSWER
        if first == second:
            return SAME
        notes[UNSURE] += self._unsure(row)
        return asked, first, second

    def _prompt(self, where: str, row: Mapping[str, Any]) -> list[Turn]:
        """The turns of the prompt's columns: a dialogue, or texts that are joined."""
        texts = []
        for column in self.prompt:
            value = cell(row, column)
            if is_empty(value):
                continue
            turns = _turns(where, column, value)
            if turns_of(where, value) is not None:
                return turns
            texts.append(turns[0].text.strip())
        return [Turn("user", "\n\n".join(texts))] if texts else []

    def _unsure(self, row: Mapping[str, Any]) -> bool:
        if self.scores is None:
            return False
        better, worse = (cell(row, column) for column in self.scores)
        return isinstance(better, int | float) and isinstance(worse, int | float) and better < worse


def _turns(where: str, column: str, value: Any) -> list[Turn]:
    """An answer as turns.

    Raises:
        UserError: it is neither text nor messages.
    """
    if (turns := turns_of(where, value)) is not None:
        return turns
    if not isinstance(value, str):
        raise UserError(f"{where}: column {column!r} holds no text and no messages")
    return [Turn("assistant", value)]


def _answer(turns: list[Turn], notes: Counter[str]) -> str:
    """The last thing that the assistant says."""
    said = [turn.text for turn in turns if turn.role == "assistant"]
    notes[FURTHER] += len(turns) > 1
    return said[-1].strip() if said else ""


def _no_answers(table: Table, field: str) -> str:
    which = "better" if field == "chosen" else "worse"
    return missing_column(table, field, field) + f" that holds the {which} answer"
