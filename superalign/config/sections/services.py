"""What the services under the roles can be told: generation, training, where they run."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from superalign.config.sections.common import NonNegative, Positive, PositiveFloat, Section

NumberFormat = Literal["float32", "bfloat16", "auto"]


class ModelsConfig(Section):
    """What the models of all roles may do here."""

    trust_remote_code: bool = Field(
        False,
        description="whether Python code that comes with a model is run, with your rights; false: such a model is "
        "refused",
    )
    slow_bfloat16: bool = Field(
        False,
        description="whether dtype=bfloat16 may be used on a CPU that takes more than 4 times as long with it as with "
        "float32",
    )


class LoraConfig(Section):
    """The adapter that each role is (arXiv 2106.09685), on all linear layers of the frozen base."""

    r: Positive = Field(16, description="rank of the adapters")
    alpha: Positive = Field(32, description="scale of the adapters: their output is multiplied by alpha / r")


class TrainerConfig(Section):
    """Training; adapters are always float32."""

    dtype: NumberFormat = Field(
        "float32",
        description="number format of the frozen bases; auto: bfloat16 where the processor is faster with it; where "
        "generator.dtype differs, generator and trainer are slightly different policies, as mismatch_kl tells",
    )
    micro_batch: Positive | None = Field(
        None,
        description="rows whose activations a worker keeps at once; a pair is two rows; loss and gradients stay those "
        "of the whole batch, and each row runs twice; null: all rows; reward models do without it",
    )


class GeneratorConfig(Section):
    """Batched generation."""

    backend: Literal["hf", "vllm"] = Field(
        "hf", description="hf: transformers, on CPU and small GPUs; vllm: on CPU and GPUs, an extra to install"
    )
    batch_tokens: Positive | None = Field(
        None,
        description="hf: most tokens of one padded batch; null: 16,384 on a CPU, on a GPU what a tenth of its memory "
        "holds the key-value cache of, 131,072 at most",
    )
    dtype: NumberFormat = Field(
        "float32",
        description="number format of the engines' weights; auto: bfloat16 where the processor is faster with it",
    )
    sync: Literal["adapter", "full"] = Field(
        "adapter",
        description="vllm: adapter serves every role as an adapter beside the base; full merges and replaces the "
        "weights, for one trained role per model",
    )
    kv_cache_gb: PositiveFloat = Field(1.0, description="vllm on a CPU: key-value cache of each engine, in GB")
    gpu_memory_utilization: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.4, description="vllm: share of every GPU's memory that all engines take together"
    )
    tensor_parallel: Positive = Field(1, description="vllm: GPUs over which each engine is spread")
    sleep: bool = Field(
        False, description="vllm: whether engines leave the GPU's memory to the trainer while it trains (sleep level 1)"
    )
    engines: Positive = Field(1, description="engines of each model, which take their work from one queue")
    min_engines: Positive = Field(
        1, description="engines with which a round may begin where the cluster has no room for all"
    )

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
    """Where a run computes."""

    mode: Literal["inline", "ray"] = Field(
        "ray", description="ray: roles and services are actors; inline: plain objects in one process"
    )
    address: str = Field(
        "local", description="Ray cluster to join, HOST:PORT or auto; local: one is started for the run"
    )
    threads: Positive = Field(
        2,
        description="CPU threads of each process; of recipe=weak_to_strong the number of workers, each with a CPU "
        "reserved on a cluster that is joined",
    )
    start_timeout_s: PositiveFloat = Field(180.0, description="longest start of a process, in seconds")
    call_timeout_s: PositiveFloat = Field(3_600.0, description="longest call of a process, in seconds")
    max_restarts: NonNegative = Field(
        5, description="losses of actors that are borne without a round done between them"
    )
    learner_workers: Positive = Field(
        1, description="processes that train together, each on an equal share of every batch"
    )
    shard: bool = Field(
        False,
        description="whether each learner worker holds its share of the frozen bases alone, which spares memory and "
        "costs time",
    )
    placement: Literal["shared", "colocated", "split"] = Field(
        "shared",
        description="shared: nothing is reserved, everybody sees all devices; colocated: one engine and one learner "
        "worker on each GPU; split: engines and learner workers have GPUs of their own",
    )
    accelerator: Literal["GPU", "CPU"] = Field(
        "GPU", description="what placement=split reserves for each: a GPU, or cluster.threads CPUs"
    )
    place_timeout_s: PositiveFloat = Field(
        600.0, description="longest wait for nodes of a cluster that may still grow, in seconds"
    )

    @model_validator(mode="after")
    def _sharded(self) -> Self:
        if self.shard and self.learner_workers == 1:
            raise ValueError("cluster.shard=true shares the base out over learner workers: set cluster.learner_workers")
        return self


class AsyncConfig(Section):
    """Overlap of generation and training.

    Losses of answers, whoever gave them (`dpo`, `online_dpo`, `kto`), need no correction for answers that are one
    update old. The other algorithms compare the policy with the recorded log-probabilities of the one that answered, a
    ratio clipped at `learner.clip`.
    """

    max_staleness: Literal[0, 1] = Field(
        0,
        description="updates by which answers may be old; 1: while the learner trains, its old weights answer the next "
        "round's queries already",
    )
