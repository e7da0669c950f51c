"""The keys and values that a model keeps of what it has read."""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from superalign.models.checks import accepted


class _PreallocatedLayer(DynamicLayer):
    """A cache layer that writes into room made once, instead of concatenating anew for every token."""

    keys: torch.Tensor
    values: torch.Tensor
    is_initialized: bool

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        start, end = self.get_seq_length(), self.get_seq_length() + key_states.shape[-2]
        if not self.is_initialized:
            self.dtype, self.device = key_states.dtype, key_states.device
            self._all_keys, self._all_values = (
                state.new_empty((*state.shape[:-2], self._room, state.shape[-1]))
                for state in (key_states, value_states)
            )
            self.is_initialized = True
        self._all_keys[..., start:end, :] = key_states
        self._all_values[..., start:end, :] = value_states
        self._view(end)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        length = self.get_seq_length()
        self._all_keys, self._all_values = self._all_keys[indices], self._all_values[indices]
        self._view(length)

    def get_seq_length(self) -> int:
        return self.keys.shape[-2] if self.is_initialized else 0

    def _view(self, length: int) -> None:
        self.keys, self.values = self._all_keys[..., :length, :], self._all_values[..., :length, :]


def has_cache(model: PreTrainedModel) -> bool:
    """Whether the model keeps keys and values alone, of which rows can be taken and shared by samples of a prompt."""
    if model._is_stateful or not {"past_key_values", "attention_mask"} <= accepted(type(model)):
        return False
    kinds = {type(layer) for layer in DynamicCache(config=model.config).layers}
    return kinds <= {DynamicLayer, DynamicSlidingWindowLayer}


def make_cache(model: PreTrainedModel, room: int) -> DynamicCache:
    """A cache for `room` positions; sliding layers keep their own cache."""
    cache = DynamicCache(config=model.config)
    cache.layers = [_PreallocatedLayer(room) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def cache_bytes(model: PreTrainedModel) -> int:
    """What the keys and values of one token take in all layers; of a model without them, its hidden states."""
    config = model.config.get_text_config()
    own = getattr(config, "num_attention_heads", None)
    if not own:
        return int(2 * config.num_hidden_layers * config.hidden_size * model.dtype.itemsize)
    heads = getattr(config, "num_key_value_heads", None) or own
    width = getattr(config, "head_dim", None) or config.hidden_size // own
    return int(2 * config.num_hidden_layers * heads * width * model.dtype.itemsize)
