"""What every generation backend promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from superalign.errors import UserError
from superalign.models.lengths import check_length
from superalign.models.states import GivesHiddenStates

Tensors = dict[str, Any]
"""An adapter: numpy arrays keyed as by peft's `get_peft_model_state_dict`."""


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One completion asked of a role. `temperature` 0 is greedy.

    Random numbers depend on the seed of the call and on `number`, the request's place in the call where it is None.
    """

    role: str
    prompt_ids: tuple[int, ...]
    max_new_tokens: int
    temperature: float
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Generation:
    """One completion.

    Attributes:
        token_ids: what was generated, without the stop token.
        logprobs: log-probability of each of them (nats) under the policy at temperature 1.
        stop_logprob: that of the stop token, None where the length limit ended the completion.
        text: the decoded tokens, without the thoughts of a model that thinks; `token_ids` have all of them, since the
            policy chose them and training weighs them.
        finished: whether a stop token ended it.
        version: the version of the role's adapter that wrote it.
    """

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    stop_logprob: float | None
    text: str
    finished: bool
    version: int


class Generator(GivesHiddenStates, Protocol):
    """A pool that serves several roles, each a versioned adapter on a frozen base."""

    def generate(self, requests: Sequence[GenerationRequest], seed: int) -> list[Generation]:
        """Complete the requests; results in their order, the same for the same seed, adapters and requests."""

    def choice_logits(self, role: str, prompts: Sequence[tuple[int, ...]], choices: Sequence[int]) -> list[list[float]]:
        """Log-probability (over the whole vocabulary, nats) of each choice as the next token of each prompt."""

    def sequence_logprobs(
        self, role: str | None, prompts: Sequence[tuple[int, ...]], completions: Sequence[tuple[int, ...]]
    ) -> list[list[float]]:
        """Log-probability of every token of each completion; role None is the frozen base without an adapter."""

    def load_adapter(self, role: str, tensors: Tensors, version: int) -> int:
        """Serve the role with this adapter from now on; returns the version acknowledged."""

    def versions(self) -> dict[str, int]:
        """The version served for each role; 0 is the base itself."""


def request_numbers(requests: Sequence[GenerationRequest]) -> list[int]:
    """The number of each request: its own, or its place."""
    return [index if request.number is None else request.number for index, request in enumerate(requests)]


def check_request(index: int, request: GenerationRequest, context: int) -> None:
    """Refuse what cannot be completed within the context.

    Raises:
        UserError: the prompt is empty or leaves no room; the message gives its index and length.
        ValueError: a limit below 1 or a negative temperature.
    """
    check_length(index, len(request.prompt_ids), context - 1, context)
    if request.max_new_tokens < 1 or request.temperature < 0:
        raise ValueError(f"request {index}: max_new_tokens must be >= 1 and temperature >= 0, got {request}")


def nan_error() -> UserError:
    """What is said of a probability that is NaN."""
    return UserError(
        "the model produces NaN: its weights were sound when they were loaded, so its adapter is not, or "
        "generator.dtype is too narrow; lower the learning rate of attacker, critic or learner"
    )
