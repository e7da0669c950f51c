"""What the learner can still do: multiple choice by log-probability, perplexity of reference answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from superalign.data.choices import Question
from superalign.data.references import Reference
from superalign.generation.base import Generator
from superalign.models import Chat
from superalign.prompts import library
from superalign.records import Measured

LEARNER: Final = "learner"
LONGEST: Final = 256  # tokens of a completion that are scored; what is behind them is not


def chosen_rightly(figure: str, questions: Sequence[Question], generator: Generator, chat: Chat) -> list[Measured]:
    """1 for each question whose right choice is the most probable one as the learner's answer, else 0.

    A choice's score is the log-probability of its text after the chat prompt, divided by its length in bytes of UTF-8,
    so that it does not depend on the tokenizer (`acc_norm` of EleutherAI's lm-evaluation-harness); of equal ones the
    first counts. The prompt is the question alone.
    """
    prompts, completions = [], []
    for question in questions:
        texts = [_completion(choice, chat) for choice in question.choices]
        prompt = _prompt(question.text, max(map(len, texts)), chat)
        prompts += [prompt] * len(texts)
        completions += texts
    scores = iter(sum(each) for each in generator.sequence_logprobs(LEARNER, prompts, completions))
    found = []
    for question in questions:
        each = [next(scores) / len(choice.encode()) for choice in question.choices]
        found.append(Measured(figure, question.id, question.id, float(int(np.argmax(each)) == question.right), 1.0))
    return found


def surprise(figure: str, references: Sequence[Reference], generator: Generator, chat: Chat) -> list[Measured]:
    """The mean negative log-likelihood of the tokens of each reference answer, the first 256 at most (nats)."""
    completions = [_completion(each.answer, chat) for each in references]
    prompts = [_prompt(each.prompt, len(said), chat) for each, said in zip(references, completions, strict=True)]
    logprobs = generator.sequence_logprobs(LEARNER, prompts, completions)
    return [
        Measured(figure, each.id, each.id, -float(np.mean(logps)), float(len(logps)))
        for each, logps in zip(references, logprobs, strict=True)
    ]


def _completion(text: str, chat: Chat) -> tuple[int, ...]:
    return tuple(chat.encode(text)[: min(LONGEST, chat.context // 4)])


def _prompt(text: str, room: int, chat: Chat) -> tuple[int, ...]:
    return tuple(chat.prompt_ids(library.respond(text), room))
