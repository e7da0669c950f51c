"""Serve many LoRA adapters from one frozen base by merging one at a time into its weights.

Merged weights cost nothing per token; adapters kept beside the weights cost 1.33 to 1.39 times as much (TRL, pull
request 7017).
"""

from __future__ import annotations

import re

import torch
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from superalign.generation.base import Tensors

_KEY = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<half>[AB])\.weight")


class MergingBase:
    """A frozen base of which at most one adapter is merged at any time: W = W0 + alpha/r B A (arXiv 2106.09685).

    Merging always starts from the kept W0, so that switching back and forth leaves no rounding behind. Costs a
    second copy of the linear layers while an adapter is active.
    """

    def __init__(self, model: PreTrainedModel, scale: float) -> None:
        self.model = model
        self._scale = scale
        self._active: object = None
        head = model.get_output_embeddings()
        self._layers = {
            name: module
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear | Conv1D) and module is not head
        }
        self._frozen = {name: module.weight.data for name, module in self._layers.items()}

    @property
    def targets(self) -> list[str]:
        """Last parts of the names of the layers that an adapter may change: `q_proj`, `up_proj`, ..."""
        return sorted({name.rpartition(".")[2] for name in self._layers})

    def prepare(self, tensors: Tensors) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """Check an adapter and bring it to the device: (A, B) for each layer.

        Raises:
            ValueError: a tensor fits no linear layer of this base; the message names it.
        """
        halves: dict[str, dict[str, torch.Tensor]] = {}
        for key, value in tensors.items():
            match = _KEY.fullmatch(key)
            if match is None or match["module"] not in self._layers:
                raise ValueError(f"adapter tensor {key!r} belongs to no linear layer of {type(self.model).__name__}")
            halves.setdefault(match["module"], {})[match["half"]] = torch.tensor(value, device=self.model.device)
        pairs = {}
        for name, half in halves.items():
            if set(half) != {"A", "B"}:
                raise ValueError(f"the adapter of layer {name!r} has lora_{min(half)} only")
            inputs, outputs = half["A"].shape[1], half["B"].shape[0]
            expected = self._oriented(name, torch.empty(outputs, inputs, device="meta")).shape
            if expected != self._frozen[name].shape or half["A"].shape[0] != half["B"].shape[1]:
                raise ValueError(
                    f"the adapter of layer {name!r} has shapes A {tuple(half['A'].shape)} B {tuple(half['B'].shape)}, "
                    f"which do not fit its weight {tuple(self._frozen[name].shape)}"
                )
            pairs[name] = (half["A"], half["B"])
        return pairs

    @torch.inference_mode()
    def activate(self, adapter: dict[str, tuple[torch.Tensor, torch.Tensor]] | None) -> None:
        """Merge this adapter (None: the base alone) unless it is the one already merged."""
        if adapter is self._active:
            return
        for name, module in self._layers.items():
            frozen = self._frozen[name]
            if adapter and name in adapter:
                down, up = (half.float() for half in adapter[name])
                delta = self._oriented(name, up @ down)
                module.weight.data = torch.add(frozen.float(), delta, alpha=self._scale).to(frozen.dtype)
            else:
                module.weight.data = frozen
        self._active = adapter

    def _oriented(self, name: str, delta: torch.Tensor) -> torch.Tensor:
        return delta.T if isinstance(self._layers[name], Conv1D) else delta
