"""What the services under the roles can be told: generation, training, where they run."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from superalign.config.sections.common import NonNegative, Positive, PositiveFloat, Section


class LoraConfig(Section):
    """The adapter that each role is (arXiv 2106.09685), on all linear layers of the frozen base."""

    r: Positive = 16
    alpha: Positive = 32


class TrainerConfig(Section):
    """Training: `dtype` of the frozen bases, as `generator.dtype` for the engines; adapters are always float32.

    With different formats generator and trainer are slightly different policies: see `mismatch_kl`. `micro_batch`: of
    how many rows of a batch a worker keeps the activations at once (null: of all); loss and gradients are still those
    of the whole batch, and the model runs twice on each row. A pair is two rows. Reward models do without it.
    """

    dtype: Literal["float32", "bfloat16"] = "float32"
    micro_batch: Positive | None = None


class GeneratorConfig(Section):
    """Batched generation: `backend=hf` runs on CPU and small GPUs, `vllm` on CPU and GPUs (an extra to install).

    `batch_tokens` bounds one padded batch of hf; null is 16,384 on a CPU, on a GPU what a tenth of its memory holds the
    key-value cache of, 131,072 at most. The rest is of vllm. `sync=adapter` serves every role as an adapter
    beside the base; `full` merges and replaces the weights, for one trained role per model. `kv_cache_gb`: key-value
    cache of each engine on a CPU. `gpu_memory_utilization`: share of every GPU that all engines take together.
    `tensor_parallel`: GPUs over which each engine is spread. `sleep`: engines leave the memory of a GPU that they share
    with the trainer while it trains (vLLM's sleep level 1). Several `engines` take their work from one queue;
    a round begins with as many as the cluster has room for, `min_engines` at least.
    """

    backend: Literal["hf", "vllm"] = "hf"
    batch_tokens: Positive | None = None
    dtype: Literal["float32", "bfloat16"] = "float32"
    sync: Literal["adapter", "full"] = "adapter"
    kv_cache_gb: PositiveFloat = 1.0
    gpu_memory_utilization: Annotated[float, Field(gt=0.0, le=1.0)] = 0.4
    tensor_parallel: Positive = 1
    sleep: bool = False
    engines: Positive = 1
    min_engines: Positive = 1

    @model_validator(mode="after")
    def _sync(self) -> Self:
        if self.backend == "hf" and self.sleep:
            raise ValueError("generator.sleep is for generator=vllm, which takes a share of the GPU for itself")
        if self.backend == "hf" and self.sync == "full":
            raise ValueError("generator.sync=full is for generator=vllm; hf merges adapters into its base anyway")
        if self.min_engines > self.engines:
            raise ValueError(f"generator.min_engines={self.min_engines} is more than generator.engines={self.engines}")
        return self


class ClusterConfig(Section):
    """Where a run computes.

    `mode=ray`: roles and services are actors on Ray (`address=local` starts one); `inline`: one process. `threads` of
    each process; of recipe=weak_to_strong the number of benches, each with a CPU reserved on a cluster that is joined.
    `learner_workers` processes train together, each on an equal share of every batch; with `shard` each holds its share
    of the frozen bases alone, which spares memory and costs time. `placement`: `shared` reserves nothing, everybody
    sees all devices; `split` gives engines and learner workers GPUs of their own; `colocated` has one engine and one
    learner worker on each GPU. `accelerator=CPU`: `split` reserves `threads` CPUs for each instead. A cluster that is
    joined may still grow: nodes are waited for `place_timeout_s` long. `max_restarts`: losses of actors that are borne
    without a round done between them.
    """

    mode: Literal["inline", "ray"] = "ray"
    address: str = "local"
    threads: Positive = 2
    start_timeout_s: PositiveFloat = 180.0
    call_timeout_s: PositiveFloat = 3_600.0
    max_restarts: NonNegative = 5
    learner_workers: Positive = 1
    shard: bool = False
    placement: Literal["shared", "colocated", "split"] = "shared"
    accelerator: Literal["GPU", "CPU"] = "GPU"
    place_timeout_s: PositiveFloat = 600.0

    @model_validator(mode="after")
    def _sharded(self) -> Self:
        if self.shard and self.learner_workers == 1:
            raise ValueError("cluster.shard=true shares the base out over learner workers: set cluster.learner_workers")
        return self


class AsyncConfig(Section):
    """`max_staleness=1`: while the learner trains, its old weights answer the next round's queries already.

    The answers that it then learns from are one update old. For `dpo`, `online_dpo` and `kto` that needs no correction:
    their losses are of answers, whoever gave them. The others compare the policy with the recorded log-probabilities of
    the one that answered, a ratio clipped at `learner.clip`.
    """

    max_staleness: Literal[0, 1] = 0
