"""Batched generation with transformers, for CPUs and small GPUs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from superalign.config.sections import GeneratorConfig, LoraConfig
from superalign.generation.base import (
    Generation,
    GenerationRequest,
    Tensors,
    check_request,
    nan_error,
    request_numbers,
)
from superalign.generation.decoding import Completed, DecodingRequest, decode, last_logits
from superalign.generation.merging import MergingBase
from superalign.models import Chat, device, load_base, load_chat, same_model, shortage_told
from superalign.models.caches import cache_bytes, has_cache
from superalign.models.hidden_states import hidden_states
from superalign.models.layout import for_few_rows
from superalign.models.lengths import check_length, check_texts
from superalign.models.openings import Opening, Piece, is_large, pieces
from superalign.store.progress import advance

log = logging.getLogger(__name__)

LESS = (
    "lower generator.batch_tokens or max_new_tokens of attacker, critic and learner, set generator.dtype=bfloat16, or "
    "give engines GPUs of their own (cluster.placement=split)"
)
CPU_BATCH, GPU_BATCH, GPU_SHARE = 2**14, 2**17, 0.1  # tokens, tokens at most, of the memory for their cache
LOGITS_ROOM = 2**26  # elements of logits made at once: large vocabularies would fill the memory otherwise


@contextmanager
def _nan_told() -> Iterator[None]:
    try:
        yield
    except FloatingPointError as error:
        raise nan_error() from error


class HFGenerator:
    """One frozen base for each distinct model, one adapter for each role (fresh, hence the base itself, at version 0).

    Args:
        models: the model of each role.
        lora: rank and alpha, which scale the adapters that are loaded.
        generator: batch size and number format.
        threads: CPU threads of this process.

    Raises:
        UserError: a model cannot be loaded.
    """

    @shortage_told("loading the generator's models", LESS)
    def __init__(self, models: dict[str, str], lora: LoraConfig, generator: GeneratorConfig, threads: int) -> None:
        torch.set_num_threads(threads)
        self._models, self._dtype = dict(models), generator.dtype
        self._read_only: dict[str, PreTrainedModel] = {}
        self._bases = {
            model: MergingBase(for_few_rows(load_base(model, generator.dtype).to(device())), lora.alpha / lora.r)
            for model in sorted(set(models.values()))
        }
        for model in (model for model, base in self._bases.items() if not has_cache(base.model)):
            log.warning("model=%s: its state is no key-value cache; each token reads the whole text again", model)
        self._batch_tokens = generator.batch_tokens or min(_room(base.model) for base in self._bases.values())
        self._chats: dict[str, Chat] = {model: load_chat(model) for model in self._bases}
        self._adapters: dict[str, dict[str, tuple[torch.Tensor, torch.Tensor]] | None] = dict.fromkeys(models)
        self._versions = dict.fromkeys(models, 0)

    @shortage_told("generating", LESS)
    @_nan_told()
    def generate(self, requests: Sequence[GenerationRequest], seed: int) -> list[Generation]:
        """Complete the requests, batched by role and length; see `Generator.generate`.

        The prompt and the completion share the context: `max_new_tokens` is cut to what fits.

        Raises:
            UserError: a prompt is empty or leaves no room in the context; the message gives its index and length.
            ValueError: an unknown role, a limit below 1 or a negative temperature or seed.
        """
        by_role: dict[str, list[int]] = {}
        numbers = request_numbers(requests)
        for index, request in enumerate(requests):
            check_request(numbers[index], request, self._chat(request.role).context)
            by_role.setdefault(request.role, []).append(index)
        results: dict[int, Generation] = {}
        told = lambda ended: advance("requests", len(results) + ended, len(requests))  # noqa: E731
        told(0)
        for role, indices in by_role.items():
            chat, base = self._chat(role), self._activate(role)
            rows = {
                i: DecodingRequest(
                    prompt=requests[i].prompt_ids,
                    limit=min(requests[i].max_new_tokens, chat.context - len(requests[i].prompt_ids)),
                    temperature=requests[i].temperature,
                    key=(seed, numbers[i]),
                )
                for i in indices
            }
            size = lambda i, rows=rows: (len(rows[i].prompt), rows[i].limit)  # noqa: E731
            for batch in self._batches(indices, size):
                completed = decode(base.model, [rows[i] for i in batch], chat.stop_ids, told)
                for i, one in zip(batch, completed, strict=True):
                    results[i] = self._generation(role, one)
        return [results[i] for i in range(len(requests))]

    @shortage_told("judging", LESS)
    @_nan_told()
    @torch.inference_mode()
    def choice_logits(self, role: str, prompts: Sequence[tuple[int, ...]], choices: Sequence[int]) -> list[list[float]]:
        """Log-probability of each choice as the next token of each prompt; see `Generator.choice_logits`."""
        context = self._chat(role).context
        for index, prompt in enumerate(prompts):
            check_length(index, len(prompt), context, context)
        model = self._activate(role).model
        results: dict[int, list[float]] = {}
        for opening, batch in self._pieces(model, prompts, more=1):
            logps = _last_logps(model, [prompts[i] for i in batch], 1, opening)[:, -1]
            results.update(zip(batch, logps[:, list(choices)].tolist(), strict=True))
            advance("verdicts", len(results), len(prompts))
        return [results[i] for i in range(len(prompts))]

    @shortage_told("scoring answers", LESS)
    @_nan_told()
    @torch.inference_mode()
    def sequence_logprobs(
        self, role: str | None, prompts: Sequence[tuple[int, ...]], completions: Sequence[tuple[int, ...]]
    ) -> list[list[float]]:
        """Teacher-forced log-probability of each completion's tokens; see `Generator.sequence_logprobs`.

        Role None is the frozen base of the first role's model.
        """
        rows = check_texts(prompts, completions, self._chat(role).context)
        base = self._activate(role)
        vocabulary = base.model.config.get_text_config().vocab_size
        results: dict[int, list[float]] = {}
        for opening, batch in self._pieces(base.model, rows, more=0):
            step = max(1, LOGITS_ROOM // (vocabulary * (1 + max(len(completions[i]) for i in batch))))
            for part in (batch[i : i + step] for i in range(0, len(batch), step)):
                keep = 1 + max(len(completions[i]) for i in part)
                logps = _last_logps(base.model, [rows[i] for i in part], keep, opening)
                for place, i in enumerate(part):
                    n = len(completions[i])
                    target = torch.tensor(completions[i], dtype=torch.long, device=logps.device)
                    results[i] = logps[place, keep - 1 - n : keep - 1].gather(1, target[:, None])[:, 0].tolist()
                advance("answers", len(results), len(rows))
        return [results[i] for i in range(len(rows))]

    @shortage_told("reading hidden states", LESS)
    @torch.inference_mode()
    def hidden_states(
        self,
        model: str,
        prompts: Sequence[tuple[int, ...]],
        completions: Sequence[tuple[int, ...]],
        layers: Sequence[int],
        role: str | None = None,
    ) -> NDArray[np.float32]:
        """Hidden states of each text; see `Generator.hidden_states`.

        Raises:
            ValueError: the role has another model.
        """
        told = lambda done: advance("texts", done, len(prompts))  # noqa: E731
        base, context = self._read(model, role), load_chat(model).context
        return hidden_states(base, prompts, completions, layers, context, self._batch_tokens, told=told)

    def load_adapter(self, role: str, tensors: Tensors, version: int) -> int:
        """Serve the role with this adapter from now on; see `Generator.load_adapter`.

        Raises:
            ValueError: the tensors do not fit the base.
        """
        self._adapters[role] = self._base(role).prepare(tensors)
        self._versions[role] = version
        return version

    def versions(self) -> dict[str, int]:
        """The version served for each role."""
        return dict(self._versions)

    def _model(self, role: str | None) -> str:
        if role is None:
            return next(iter(self._models.values()))
        if role not in self._models:
            raise ValueError(f"unknown role {role!r}; this generator serves {sorted(self._models)}")
        return self._models[role]

    def _chat(self, role: str | None) -> Chat:
        return self._chats[self._model(role)]

    def _base(self, role: str | None) -> MergingBase:
        return self._bases[self._model(role)]

    def _activate(self, role: str | None) -> MergingBase:
        base = self._base(role)
        base.activate(None if role is None else self._adapters[role])
        return base

    def _read(self, model: str, role: str | None) -> PreTrainedModel:
        """A model with the adapter of a role or none, loaded where it is not served."""
        served = next((each for each in self._bases if same_model(each, model)), None)
        if role is not None:
            if self._model(role) != served:
                raise ValueError(f"role {role!r} is an adapter of {self._model(role)}, not of {model}")
            return self._activate(role).model
        if served:
            self._bases[served].activate(None)
            return self._bases[served].model
        if model not in self._read_only:
            self._read_only[model] = load_base(model, self._dtype).to(device())
        return self._read_only[model]

    def _pieces(self, model: PreTrainedModel, rows: Sequence[tuple[int, ...]], more: int) -> Iterable[Piece]:
        """Rows in pieces of similar length, which get `more` tokens each; a large model reads no opening twice."""
        if is_large(model):
            return pieces(model, [row[:-1] for row in rows], [len(row) for row in rows], self._batch_tokens)
        return (Piece(None, b) for b in self._batches(range(len(rows)), lambda i: (len(rows[i]), more)))

    def _batches(self, indices: Sequence[int], size: Callable[[int], tuple[int, int]]) -> Iterator[list[int]]:
        """Indices in batches of similar (prompt length, further tokens) that stay below `batch_tokens` when padded."""
        batch: list[int] = []
        further = 0
        for index in sorted(indices, key=lambda i: (size(i), i)):
            prompt, more = size(index)
            if batch and (len(batch) + 1) * (prompt + max(more, further)) > self._batch_tokens:
                yield batch
                batch, further = [], 0
            batch.append(index)
            further = max(further, more)
        if batch:
            yield batch

    def _generation(self, role: str, completed: Completed) -> Generation:
        end = -1 if completed.stopped else None
        tokens = tuple(completed.tokens[:end])
        return Generation(
            token_ids=tokens,
            logprobs=tuple(completed.logprobs[:end]),
            stop_logprob=completed.logprobs[-1] if completed.stopped else None,
            text=self._chat(role).answer(tokens),
            finished=completed.stopped,
            version=self._versions[role],
        )


def _room(model: PreTrainedModel) -> int:
    """Tokens of one padded batch: on a GPU it is cheaper to have few large ones."""
    if model.device.type == "cpu":
        return CPU_BATCH
    memory = torch.cuda.get_device_properties(model.device).total_memory
    return max(1, min(GPU_BATCH, int(GPU_SHARE * memory / cache_bytes(model))))


def _last_logps(
    model: PreTrainedModel, rows: Sequence[Sequence[int]], keep: int, opening: Opening | None
) -> torch.Tensor:
    """Log-probabilities [rows, keep, vocabulary] at the last `keep` positions of each row; see `last_logits`."""
    logps = torch.log_softmax(last_logits(model, rows, keep, opening), dim=-1)
    if torch.isnan(logps).any():
        raise FloatingPointError("a probability is NaN")
    return logps
