"""A look at a model that was just loaded: a forward of a few tokens finds what would spoil hours of work later."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

from superalign.errors import UserError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

TOKENS: Final = 6
SAME: Final = {"float32": 1e-3, "bfloat16": 0.05}  # of the largest logit: rounding of one product in two batches

_accepted: dict[type[PreTrainedModel], frozenset[str]] = {}


def check_sound(model: str, base: PreTrainedModel) -> None:
    """Refuse weights or logits that are not finite, and a model in which a token is seen by those before it.

    Raises:
        UserError: as described; the message names the first weight that is not finite.
    """
    import torch

    for name, weight in base.named_parameters():
        if not torch.isfinite(weight.sum()):
            raise UserError(
                f"model={model}: the model produces NaN: its weight {name} holds NaN or infinite numbers; "
                "the file is damaged, or its training diverged: take another copy"
            )
    rows = base.get_input_embeddings().weight.shape[0]
    # From the middle of the vocabulary: its ends have tokens for padding, images and the like.
    ids = (rows // 3 + 7 * torch.arange(TOKENS + 1)) % rows
    ids, other = ids[:-1], torch.cat([ids[:-2], ids[-1:]])
    with torch.inference_mode():
        both = torch.stack([ids, other])
        logits = base(input_ids=both, attention_mask=torch.ones_like(both), use_cache=False).logits.float()
    if not torch.isfinite(logits).all():
        raise UserError(
            f"model={model}: the model produces NaN in {base.dtype} although its weights are finite numbers"
        )
    first, second = logits[:, :-1]
    allowed = SAME[str(base.dtype).removeprefix("torch.")] * float(logits.abs().max())
    if float((first - second).abs().max()) > allowed:
        raise UserError(
            f"model={model}: {type(base).__name__} reads texts in both directions, so it is no causal language model"
        )


def check_vocabulary(model: str, tokenizer: PreTrainedTokenizerFast, template: str, config: PretrainedConfig) -> None:
    """Refuse a tokenizer with tokens for which the model has no embeddings.

    Added tokens that neither the chat template nor anything else uses may lie beyond: no text gives them.

    Raises:
        UserError: it has; the message names the first one.
    """
    rows = getattr(config, "vocab_size", None)
    if rows is None:
        return
    added, duties = tokenizer.added_tokens_decoder, {tokenizer.bos_token_id, tokenizer.eos_token_id}
    duties.add(tokenizer.pad_token_id)
    beyond = {i: text for text, i in tokenizer.get_vocab().items() if i >= rows}
    used = [i for i, text in beyond.items() if i not in added or i in duties or text in template]
    if used:
        first = min(used)
        raise UserError(
            f"model={model}: its tokenizer has {beyond[first]!r} as id {first}, and its embeddings have {rows} rows: "
            "they are of different models; put the tokenizer of this model into its folder"
        )


def accepted(kind: type[PreTrainedModel]) -> frozenset[str]:
    """The arguments that `forward` of a class of models takes by name."""
    if kind not in _accepted:
        _accepted[kind] = frozenset(inspect.signature(kind.forward).parameters)
    return _accepted[kind]


def arguments(model: PreTrainedModel, **given: Any) -> dict[str, Any]:
    """Those arguments that the model's forward takes: some count positions themselves, some make all logits always."""
    known = accepted(type(model))
    return {name: value for name, value in given.items() if name in known}
