"""Generation with vLLM: continuous batching over all roles of a model, each an adapter in one engine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM

from superalign.config.sections import GeneratorConfig, LoraConfig
from superalign.errors import UserError
from superalign.generation.base import (
    Generation,
    GenerationRequest,
    Tensors,
    check_request,
    nan_error,
    request_numbers,
)
from superalign.generation.engine import MOST_CHOICES, AdapterRoom, VLLMEngine, require_vllm
from superalign.generation.merging import MergingBase
from superalign.generation.sync.adapter import AdapterSync, engine_rank, room_for
from superalign.generation.sync.base import WeightSync
from superalign.generation.sync.full import FullSync
from superalign.models import Chat, load_base, load_chat, load_config, may_run_code
from superalign.models.lengths import check_length, check_texts


class VLLMGenerator:
    """One engine for each distinct model; its roles are adapters (`sync=adapter`), or one role is its weights (`full`).

    Args:
        models: the model of each role.
        lora: rank and alpha of the adapters.
        generator: number format, memory and way of weight sync.
        threads: CPU threads of this process.

    Raises:
        UserError: vLLM is missing, or it cannot serve these models and roles in this way.
    """

    def __init__(self, models: dict[str, str], lora: LoraConfig, generator: GeneratorConfig, threads: int) -> None:
        require_vllm()
        torch.set_num_threads(threads)
        self._models = dict(models)
        roles = {model: [r for r in models if models[r] == model] for model in sorted(set(models.values()))}
        full = generator.sync == "full"
        rank = 0 if full else engine_rank(lora.r)
        self._chats: dict[str, Chat] = {model: load_chat(model) for model in roles}
        self._engines: dict[str, VLLMEngine] = {}
        self._syncs: dict[str, WeightSync] = {}
        for model, sharing in roles.items():
            base = MergingBase(
                load_base(model, generator.dtype) if full else _without_weights(model), lora.alpha / lora.r
            )
            room = None if full else AdapterRoom(room_for(len(sharing)), rank, base.targets)
            engine = VLLMEngine(model, self._chats[model].context, room, generator, engines=len(roles))
            self._engines[model] = engine
            self._syncs[model] = (
                FullSync(engine, sharing, base) if full else AdapterSync(engine, sharing, lora, base.prepare)
            )

    def generate(self, requests: Sequence[GenerationRequest], seed: int) -> list[Generation]:
        """Complete the requests of all roles of a model in one continuous batch; see `Generator.generate`.

        A request's random numbers depend on the seed and its number alone, not on what else is in the batch.

        Raises:
            UserError: a prompt is empty or leaves no room in the context; the message gives its index and length.
            ValueError: an unknown role, a limit below 1 or a negative temperature or seed.
        """
        by_model: dict[str, list[int]] = {}
        numbers = request_numbers(requests)
        for index, request in enumerate(requests):
            model = self._model(request.role)
            check_request(numbers[index], request, self._chats[model].context)
            by_model.setdefault(model, []).append(index)
        results: dict[int, Generation] = {}
        for model, indices in by_model.items():
            chat = self._chats[model]
            asked = [requests[i] for i in indices]
            settings = [
                {
                    "max_tokens": min(request.max_new_tokens, chat.context - len(request.prompt_ids)),
                    "temperature": request.temperature,
                    "seed": _seed(seed, numbers[i]) if request.temperature else None,
                    "stop_token_ids": sorted(chat.stop_ids),
                    "logprobs": 0,
                    "flat_logprobs": True,
                }
                for i, request in zip(indices, asked, strict=True)
            ]
            outputs = self._run(model, [r.role for r in asked], [r.prompt_ids for r in asked], settings)
            versions = self._syncs[model].versions()
            for i, output in zip(indices, outputs, strict=True):
                results[i] = _generation(output.outputs[0], chat, versions[requests[i].role])
        return [results[i] for i in range(len(requests))]

    def choice_logits(self, role: str, prompts: Sequence[tuple[int, ...]], choices: Sequence[int]) -> list[list[float]]:
        """Log-probability of each choice as the next token of each prompt; see `Generator.choice_logits`."""
        model = self._model(role)
        context = self._chats[model].context
        for index, prompt in enumerate(prompts):
            check_length(index, len(prompt), context, context)
        results: list[list[float]] = [[] for _ in prompts]
        for start in range(0, len(choices), MOST_CHOICES):
            part = list(choices[start : start + MOST_CHOICES])
            settings = [{"max_tokens": 1, "temperature": 0.0, "logprob_token_ids": part}] * len(prompts)
            for result, output in zip(results, self._run(model, [role] * len(prompts), prompts, settings), strict=True):
                found = output.outputs[0].logprobs[0]
                result.extend(found[choice].logprob for choice in part)
        return results

    def sequence_logprobs(
        self, role: str | None, prompts: Sequence[tuple[int, ...]], completions: Sequence[tuple[int, ...]]
    ) -> list[list[float]]:
        """Log-probability of each completion's tokens as a prompt; see `Generator.sequence_logprobs`.

        Role None is the frozen base of the first role's model.
        """
        model = self._model(role)
        rows = check_texts(prompts, completions, self._chats[model].context)
        results: list[list[float]] = [[] for _ in rows]
        asked = [i for i, completion in enumerate(completions) if completion]
        settings = [{"max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0}] * len(asked)
        for i, output in zip(
            asked, self._run(model, [role] * len(asked), [rows[i] for i in asked], settings), strict=True
        ):
            found = output.prompt_logprobs[len(prompts[i]) :]
            results[i] = [each[token].logprob for each, token in zip(found, completions[i], strict=True)]
        return results

    def hidden_states(
        self,
        model: str,
        prompts: Sequence[tuple[int, ...]],
        completions: Sequence[tuple[int, ...]],
        layers: Sequence[int],
        role: str | None = None,
    ) -> NDArray[np.float32]:
        """Refused: vLLM keeps hidden states to itself.

        Raises:
            UserError: always.
        """
        raise UserError(
            f"generator=vllm gives no hidden states (of model={model}): in a run its trainer gives them; elsewhere use "
            "generator=hf"
        )

    def load_adapter(self, role: str, tensors: Tensors, version: int) -> int:
        """Serve the role with this adapter from now on; see `Generator.load_adapter`.

        Raises:
            ValueError: the tensors do not fit the base.
            RuntimeError: the engine did not acknowledge the adapter; the role is served as before.
        """
        return self._syncs[self._model(role)].push(role, tensors, version)

    def versions(self) -> dict[str, int]:
        """The version served for each role."""
        served = {role: version for sync in self._syncs.values() for role, version in sync.versions().items()}
        return {role: served[role] for role in self._models}

    def sleep(self) -> None:
        """All engines leave the GPU's memory if `generator.sleep`; the next call wakes the one that it needs."""
        for engine in self._engines.values():
            engine.sleep()

    def _model(self, role: str | None) -> str:
        if role is None:
            return next(iter(self._models.values()))
        if role not in self._models:
            raise ValueError(f"unknown role {role!r}; this generator serves {sorted(self._models)}")
        return self._models[role]

    def _run(
        self,
        model: str,
        roles: Sequence[str | None],
        prompts: Sequence[Sequence[int]],
        settings: Sequence[dict[str, Any]],
    ) -> list[Any]:
        """One batch of all roles, or one for each where they differ in the engine's weights."""
        sync, engine = self._syncs[model], self._engines[model]
        if engine.slots:
            adapters = {role: sync.serve(role) for role in set(roles)}
            return engine.run(prompts, settings, [adapters[role] for role in roles])
        outputs: dict[int, Any] = {}
        for role in dict.fromkeys(roles):
            places = [i for i, each in enumerate(roles) if each == role]
            sync.serve(role)
            done = engine.run([prompts[i] for i in places], [settings[i] for i in places], [None] * len(places))
            outputs.update(zip(places, done, strict=True))
        return [outputs[i] for i in range(len(roles))]


def _without_weights(model: str) -> Any:
    """The model's shapes without its weights."""
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(load_config(model), trust_remote_code=may_run_code())


def _seed(seed: int, index: int) -> int:
    return int(np.random.SeedSequence((seed, index)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _generation(output: Any, chat: Chat, version: int) -> Generation:
    """vLLM counts the stop token as generated; here it is told apart."""
    finished = output.finish_reason == "stop"
    end = -1 if finished else None
    tokens = tuple(output.token_ids)
    flat = output.logprobs
    logprobs = [flat.logprobs[start] for start in flat.start_indices]  # the sampled token comes first
    if any(map(math.isnan, logprobs)):
        raise nan_error()
    return Generation(
        token_ids=tokens[:end],
        logprobs=tuple(logprobs[:end]),
        stop_logprob=logprobs[-1] if finished else None,
        text=chat.answer(tokens[:end]),
        finished=finished,
        version=version,
    )
