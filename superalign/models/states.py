"""Whoever can tell what a model makes of a text inside."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class GivesHiddenStates(Protocol):
    """A generator, or a trainer where the engine keeps hidden states to itself."""

    @abstractmethod
    def hidden_states(
        self,
        model: str,
        prompts: Sequence[tuple[int, ...]],
        completions: Sequence[tuple[int, ...]],
        layers: Sequence[int],
        role: str | None = None,
    ) -> NDArray[np.float32]:
        """Hidden states of each text under a frozen model, or under the served adapter of a role of that model.

        Args:
            model: its reference; a model that is not served is loaded when it is first asked for, and kept.
            prompts, completions: token ids; a prompt has one at least.
            layers: indices into transformers' hidden states: 0 are the embeddings.
            role: whose adapter.

        Returns:
            [texts, 3, layers, width]: at the last token of the prompt, at the last of the completion (of the prompt
            where the completion is empty), and the mean over the completion's tokens.

        Raises:
            UserError: the model has no such layer, a text does not fit its context, or the backend has no states.
        """
