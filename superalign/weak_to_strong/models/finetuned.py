"""Finetuning of transformers models, whole or by an adapter, as classifiers and scorers of texts."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from superalign.config.sections import LoraConfig
from superalign.models import device, load_chat
from superalign.weak_to_strong.base import Floats, Inputs, Kind
from superalign.weak_to_strong.models import backbones
from superalign.weak_to_strong.models.backbones import Backbone
from superalign.weak_to_strong.models.linear_probe import Student, zero_head
from superalign.weak_to_strong.models.tokenization import Padded, Tokens, inputs, last_token, mean_token
from superalign.weak_to_strong.models.train_loop import Difference, ModelInputs, predict_logits


class FinetunedStudent(Student):
    """A transformers model, whole or by an adapter, under a head at the last token; encoders under their mean state.

    The head begins with the unembedding rows of "0", "1", ... (arXiv 2312.09390 A.1), at zero where there is no
    unembedding; a classifier with the right number of outputs keeps its own.

    Args:
        model: a model name of superalign.
        lora: train an adapter (arXiv 2106.09685) on all linear layers, instead of the whole model.
        seed: of the adapter's initial weights.
    """

    def __init__(self, model: str, lora: bool, classes: int, kind: Kind, seed: int) -> None:
        super().__init__(classes, kind)
        self._model, self._lora, self._seed = model, lora, seed

    def _side(self, values: Inputs) -> Tokens:
        assert not isinstance(values, np.ndarray)
        return backbones.tokens(self._model, values)

    def _read(self, values: Inputs) -> Floats:
        tokens = self._side(values)
        module = self._current(tokens)
        reader = module.scorer if isinstance(module, Difference) else module
        assert isinstance(reader, Reader)
        return np.asarray(predict_logits(_Read(reader), tokens, self._settings).cpu().numpy(), dtype=np.float64)

    def _scorer(self, model_inputs: ModelInputs) -> nn.Module:
        backbone = backbones.load(self._model)
        if self._lora:
            _add_adapter(backbone.body, self._seed)
        else:
            backbone.body.requires_grad_(True)
        about = backbones.outline(self._model)
        if not about.classifier or about.outputs != self._outputs:
            return Reader(backbone, self._new_head(backbone))
        body = {id(p) for p in backbone.body.parameters()}
        for parameter in backbone.whole.parameters():
            if id(parameter) not in body:
                parameter.requires_grad_(True)
        return Reader(backbone, backbone.whole.score if about.causal else None)

    def _new_head(self, backbone: Backbone) -> nn.Linear:
        head = zero_head(backbone.whole.config.get_text_config().hidden_size, self._outputs)
        if backbone.unembedding is not None:
            chat = load_chat(self._model)
            digits = [chat.encode(str(label))[-1] for label in range(self._outputs)]
            with torch.no_grad():
                head.weight.copy_(backbone.unembedding[digits])
        return head.to(device())


class Reader(nn.Module):
    """Texts to logits: a backbone and a head; without a head, a classifier with its own.

    `read` gives what the head reads, [b, d].
    """

    def __init__(self, backbone: Backbone, head: nn.Linear | None) -> None:
        super().__init__()
        self._backbone = backbone
        # A module of its own only for its parameters: the head of a language model is not trained.
        self.body = backbone.whole if head is None else backbone.body
        self.head: nn.Linear | None = head

    def read(self, batch: Padded) -> Tensor:
        """What the head reads, [b, d]."""
        if self.head is None:
            return self._own(batch)[1]
        states = self._backbone.states(batch)
        pool = last_token if self._backbone.causal else mean_token
        return pool(states, batch.mask)

    def forward(self, batch: Padded) -> Tensor:
        """Logits, [b, outputs]."""
        return self._own(batch)[0] if self.head is None else self.head(self.read(batch))

    def _own(self, batch: Padded) -> tuple[Tensor, Tensor]:
        """Logits of a classifier, and what its last linear layer was given."""
        seen: list[Tensor] = []
        last = [m for m in self.body.modules() if isinstance(m, nn.Linear)][-1]
        hook = last.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        try:
            logits = self.body(**inputs(batch)).logits
        finally:
            hook.remove()
        return logits, seen[-1]


class _Read(nn.Module):
    """What the head of a reader reads, as a module."""

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self.reader = reader

    def forward(self, batch: Padded) -> Tensor:
        return self.reader.read(batch)


def _add_adapter(body: nn.Module, seed: int) -> None:
    from peft import LoraConfig as PeftLora
    from peft import inject_adapter_in_model

    settings = LoraConfig()
    config = PeftLora(r=settings.r, lora_alpha=settings.alpha, target_modules="all-linear")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        inject_adapter_in_model(config, body)
