"""A model laid out for decoding, whose products have few rows."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from superalign.models.openings import is_large


def for_few_rows(model: PreTrainedModel) -> PreTrainedModel:
    """Lay out a large model for products of few rows; the model itself, which computes the same but for rounding.

    On a CPU the weights become column-major: a product with 32 rows then takes some three quarters of the time. And
    the output head gets its input contiguous: transformers gives it a slice of all positions, of which torch makes a
    product for each row of the batch, and each reads all weights of the head.
    """
    if not is_large(model):
        return model
    head = model.get_output_embeddings()
    head.register_forward_pre_hook(lambda _, given: (given[0].contiguous(), *given[1:]))
    if model.device.type == "cpu":
        for module in model.modules():
            # The head's weights may be those of the embeddings, of which rows are looked up.
            if isinstance(module, torch.nn.Linear) and module is not head:
                module.weight.data = module.weight.data.T.contiguous().T
    return model
