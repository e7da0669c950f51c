"""What fits the context of a model."""

from __future__ import annotations

from collections.abc import Sequence

from superalign.errors import UserError


def check_length(index: int, length: int, most: int, context: int) -> None:
    """Refuse an empty prompt and one of more than `most` tokens.

    Raises:
        UserError: it is either.
    """
    if not length:
        raise UserError(f"prompt {index} is empty; a prompt needs at least 1 token")
    if length > most:
        raise UserError(
            f"prompt {index} has {length} tokens, more than the {most} that the model's context of {context} leaves; "
            "shorten it or use a model with a longer context"
        )


def check_texts(
    prompts: Sequence[tuple[int, ...]], completions: Sequence[tuple[int, ...]], context: int
) -> list[tuple[int, ...]]:
    """Each prompt with its completion, if all have a prompt and fit the context.

    Raises:
        UserError: a prompt is empty, or a text is longer than the context.
        ValueError: there are not as many completions as prompts.
    """
    if len(prompts) != len(completions):
        raise ValueError(f"{len(prompts)} prompts but {len(completions)} completions")
    texts = [(*prompt, *completion) for prompt, completion in zip(prompts, completions, strict=True)]
    for index, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
        check_length(index, min(len(prompt), 1) * len(text), context, context)
    return texts
