"""A plan on paper for 7B and 70B learners on 8 to 512 H100: memory, tokens per second, seconds of a round, bottleneck.

    python tests/benchmarks/plan.py

THIS IS A PLAN AND NOT A MEASUREMENT: nothing printed here has been run. It is arithmetic on shapes, on the vendor's
datasheet and on efficiencies that others report; every constant below says where it is from. Engines and learner have
GPUs of their own (`cluster.placement=split`), divided so that the round is shortest; roles are adapters of rank 16 on
all linear layers of one frozen base, in bfloat16 (`generator.dtype`, `trainer.dtype`). A learner GPU keeps the
activations of MICRO_ROWS rows at a time and computes them again for the gradients (`trainer.micro_batch`). Not in it:
stragglers among answers, experts (nobody waits for them), failures.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

# NVIDIA H100 SXM5 datasheet: 80 GB HBM3, 3.35 TB/s, 989 TFLOP/s dense bfloat16, NVLink 900 GB/s both ways together.
MEMORY, BANDWIDTH, FLOPS, NVLINK = 80e9, 3.35e12, 989e12, 450e9
NODE = 8  # GPUs of a DGX H100 (its datasheet)

WEIGHT_BYTES, ADAPTER_BYTES = 2, 4  # bfloat16 base and key-value cache, float32 adapters
OPTIMIZER_BYTES = 16  # of an adapter's weight with gradient and Adam's moments in float32: 4 x 4
RANK, ROLES = 16, 3  # LoraConfig.r; attacker, critic and learner

# prime-rl's committed benchmarks: LoRA training at 15-29 % and 21.7 % (one H100) to 36.8 % (eight) of peak.
MFU = {"low": 0.15, "middle": 0.217, "high": 0.368}
# Needed FLOPs of a trained token, per parameter: 6 as published MFU counts them (though frozen weights need no gradient
# of their own), 2 for DPO's reference, which is a forward pass.
TRAINED_FLOPS, FORWARD_FLOPS = 8, 2
# Decoding reads all weights once a step; by the datasheet it is bound by compute from FLOPS / BANDWIDTH = 295 sequences
# on. What part of either limit engines reach is not in our sources: half is an ASSUMPTION.
REACHED = 0.5
LORA_SLOWDOWN = 1.36  # per token, adapters served beside the weights: 1.33-1.39 (TRL #7017)
ENGINE_SHARE = 0.9  # of a GPU's memory for weights and cache: vLLM's default gpu_memory_utilization
SYNC_BANDWIDTH = 8.25e9  # bytes/s, NCCL broadcast of 30B weights (verl's documentation)
# Activations of a token and hidden unit in one layer, bytes (arXiv 2205.05198, without the attention matrix, which
# flash attention never stores).
LAYER_BYTES = 34
LOGIT_BYTES = 8  # of a token and word: float32 logits and their gradient
SEQUENCE, BATCH = 1024, 256  # tokens of a trained completion with its prompt; completions of an optimizer's step
MICRO_ROWS = 1  # completions that a learner GPU has activations of: trainer.micro_batch
MICRO_TOKENS = MICRO_ROWS * SEQUENCE


@dataclass(frozen=True)
class Shape:
    """A decoder-only transformer with gated MLPs, as its config.json says. `bias`: of query, key and value."""

    name: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    vocabulary: int
    tensor_parallel: int
    bias: bool = False

    @property
    def linears(self) -> list[tuple[int, int]]:
        """Inputs and outputs of one layer's seven linear layers."""
        h, kv, i = self.hidden, self.hidden // self.heads * self.kv_heads, self.intermediate
        return [(h, h), (h, kv), (h, kv), (h, h), (h, i), (h, i), (i, h)]

    @property
    def layer(self) -> int:
        """Parameters of one layer."""
        biases = sum(outputs for _, outputs in self.linears[:3]) if self.bias else 0
        return sum(inputs * outputs for inputs, outputs in self.linears) + biases + 2 * self.hidden

    @property
    def parameters(self) -> int:
        """All of them: untied embeddings and head, layers, last norm."""
        return 2 * self.vocabulary * self.hidden + self.layers * self.layer + self.hidden

    @property
    def weight_bytes(self) -> int:
        """Of the frozen base."""
        return self.parameters * WEIGHT_BYTES

    @property
    def cache_bytes(self) -> int:
        """Of a token's keys and values."""
        return 2 * self.layers * self.hidden // self.heads * self.kv_heads * WEIGHT_BYTES

    def adapter(self, rank: int) -> int:
        """Parameters of an adapter on all linear layers."""
        return self.layers * sum(rank * (inputs + outputs) for inputs, outputs in self.linears)


QWEN_7B = Shape("Qwen2.5-7B", 28, 3584, 18944, 28, 4, 152064, tensor_parallel=1, bias=True)
LLAMA_70B = Shape("Llama-3.1-70B", 80, 8192, 28672, 64, 8, 128256, tensor_parallel=4)


@dataclass(frozen=True)
class Stage:
    """So many requests to the engines, with prompts and completions of so many tokens."""

    name: str
    requests: int
    prompt: int
    new: int


# The round of the plan: 1,024 attacks, 4 answers each, a verdict on every answer, critiques of the worst, revisions of
# half of these, verdicts on 2 pairs of each query in both orders, 512 answers of evaluation.
QUERIES = 1024
STAGES = (
    Stage("attack", QUERIES, 256, 256),
    Stage("respond", 4 * QUERIES, 512, 512),
    Stage("verdicts", 4 * QUERIES, 1280, 1),
    Stage("critique", QUERIES, 1280, 256),
    Stage("revise", QUERIES // 2, 1536, 512),
    Stage("pairs", 4 * QUERIES, 2048, 1),
    Stage("evaluate", 512, 512, 512),
)
# Trained tokens: the learner's 2 pairs for each query, the attacker's pair of completions of 512, and 1,280 of a
# critic's example for every fourth query.
TRAINED = 2 * 2 * QUERIES * SEQUENCE + 2 * QUERIES * 512 + QUERIES // 4 * 1280


def activations(shape: Shape) -> int:
    """Bytes that a learner GPU keeps for the gradients of the rows at hand."""
    return MICRO_TOKENS * shape.hidden * LAYER_BYTES * shape.layers


def learner_memory(shape: Shape, gpus: int) -> float:
    """Bytes of a learner GPU: share of the base, two gathered layers, all roles' adapters, activations, logits."""
    base, gathered = shape.weight_bytes / min(gpus, NODE), 2 * shape.layer * WEIGHT_BYTES
    adapters = ROLES * shape.adapter(RANK) * OPTIMIZER_BYTES
    return base + gathered + adapters + activations(shape) + MICRO_TOKENS * shape.vocabulary * LOGIT_BYTES


def most_sequences(shape: Shape, length: int) -> int:
    """Sequences of this length whose keys and values fit beside the weights in an engine."""
    room = ENGINE_SHARE * MEMORY * shape.tensor_parallel - shape.weight_bytes
    return max(0, int(room / (length * shape.cache_bytes)))


def step_seconds(shape: Shape, batch: int, context: float) -> tuple[float, str]:
    """Of one decoding step of an engine, and what binds it: reading weights and cache, or computing."""
    read = (shape.weight_bytes + batch * context * shape.cache_bytes) / (shape.tensor_parallel * BANDWIDTH)
    compute = batch * FORWARD_FLOPS * shape.parameters / (shape.tensor_parallel * FLOPS)
    return LORA_SLOWDOWN * max(read, compute) / REACHED, "memory bandwidth" if read >= compute else "compute"


def stage_seconds(shape: Shape, stage: Stage, engines: int) -> tuple[float, str]:
    """Of a stage on so many engines, and what most of it is."""
    each = ceil(stage.requests / engines)
    prefill = each * stage.prompt * FORWARD_FLOPS * shape.parameters / (shape.tensor_parallel * FLOPS * REACHED)
    batch = min(each, most_sequences(shape, stage.prompt + stage.new))
    step, bound = step_seconds(shape, batch, stage.prompt + stage.new / 2)
    decode = each / batch * stage.new * step
    return prefill + decode, "prefill compute" if prefill > decode else f"decode {bound}"


def engine_memory(shape: Shape, engines: int) -> float:
    """Bytes of an engine's GPU: its share of the weights, and of the cache of the answers that it writes at once."""
    length = STAGES[1].prompt + STAGES[1].new
    batch = min(ceil(STAGES[1].requests / engines), most_sequences(shape, length))
    return (shape.weight_bytes + batch * length * shape.cache_bytes) / shape.tensor_parallel


def trained_tokens_per_second(shape: Shape, gpus: int, mfu: float) -> float:
    """Of the learner: each GPU has its whole completions of a batch, more GPUs than completions idle.

    Bound by compute, or by gathering the sharded base within the node three times for every micro-batch.
    """
    share = ceil(BATCH / gpus) * SEQUENCE
    compute = share * TRAINED_FLOPS * shape.parameters / (FLOPS * mfu)
    shards = min(gpus, NODE)
    gather = 3 * shape.weight_bytes * (shards - 1) / shards / NVLINK
    return BATCH * SEQUENCE / max(compute, ceil(share / MICRO_TOKENS) * gather)


def sync_seconds(count: float) -> float:
    """Of so many bytes, which all engines receive at once."""
    return count / SYNC_BANDWIDTH


@dataclass(frozen=True)
class Round:
    """A division of the GPUs and what it comes to."""

    shape: Shape
    learners: int
    engines: int

    @property
    def generating(self) -> float:
        """Seconds of all stages of generation."""
        return sum(stage_seconds(self.shape, stage, self.engines)[0] for stage in STAGES)

    @property
    def generated_per_second(self) -> float:
        """New tokens while generating."""
        return sum(stage.requests * stage.new for stage in STAGES) / self.generating

    @property
    def syncing(self) -> float:
        """Seconds of pushing every role's adapter once."""
        return ROLES * sync_seconds(self.shape.adapter(RANK) * ADAPTER_BYTES)

    def training(self, mfu: float) -> float:
        """Seconds of all training."""
        return TRAINED / trained_tokens_per_second(self.shape, self.learners, mfu)

    def seconds(self, mfu: float) -> float:
        """Of the round, one stage after the other."""
        return self.generating + self.training(mfu) + self.syncing

    def bottleneck(self) -> str:
        """The stage that takes longest at the middle MFU, what binds it and its share of the round."""
        parts = {"training: compute": self.training(MFU["middle"]), "sync": self.syncing}
        for stage in STAGES:
            took, bound = stage_seconds(self.shape, stage, self.engines)
            parts[f"{stage.name}: {bound}"] = took
        name = max(parts, key=lambda part: parts[part])
        return f"{name} ({100 * parts[name] / self.seconds(MFU['middle']):.0f} %)"


def best(shape: Shape, gpus: int) -> Round | None:
    """The quickest division of the GPUs that fits into their memory; None where none does."""
    counts = range(1, (gpus - 1) // shape.tensor_parallel + 1)
    found = [Round(shape, gpus - engines * shape.tensor_parallel, engines) for engines in counts]
    longest = max(stage.prompt + stage.new for stage in STAGES)
    fitting = [r for r in found if learner_memory(shape, r.learners) <= MEMORY and most_sequences(shape, longest)]
    return min(fitting, key=lambda r: r.seconds(MFU["middle"]), default=None)


def worked(shape: Shape) -> str:
    """The numbers behind the table, one line each."""
    adapter, respond, parallel = shape.adapter(RANK), STAGES[1], shape.tensor_parallel
    length, context = respond.prompt + respond.new, respond.prompt + respond.new // 2
    batch = most_sequences(shape, length)
    size, weights, cache = shape.parameters / 1e9, shape.weight_bytes / 1e9, shape.cache_bytes / 1e3
    gathered, optimizers = 2 * shape.layer * WEIGHT_BYTES / 1e9, ROLES * adapter * OPTIMIZER_BYTES / 1e9
    kept, logits = activations(shape) / 1e9, MICRO_TOKENS * shape.vocabulary * LOGIT_BYTES / 1e9
    slow, fast = (trained_tokens_per_second(shape, 1, MFU[how]) for how in ("low", "high"))
    lines = [
        f"{shape.name}: {size:.2f}e9 parameters, {weights:.1f} GB in bfloat16; adapter of rank {RANK}: "
        f"{adapter / 1e6:.1f}e6 parameters, {adapter * ADAPTER_BYTES / 1e6:.0f} MB, "
        f"{100 * adapter * ADAPTER_BYTES / shape.weight_bytes:.2f} % of the weights' bytes",
        f"  learner GPU of {NODE}: {weights:.1f}/{NODE} + 2 layers gathered {gathered:.1f} + {ROLES} adapters x "
        f"{OPTIMIZER_BYTES} B {optimizers:.1f} + activations of {MICRO_TOKENS} tokens {kept:.1f} + logits {logits:.1f} "
        f"= {learner_memory(shape, NODE) / 1e9:.1f} GB",
        f"  engine of {parallel} GPU(s): ({ENGINE_SHARE:g} x {parallel} x 80 - {weights:.1f}) GB / ({length} tokens x "
        f"{cache:.0f} kB) = {batch} sequences",
    ]
    for b in sorted({1, min(32, batch), min(256, batch), batch}):
        took, bound = step_seconds(shape, b, context)
        lines.append(
            f"  decoding {b}: ({weights:.1f} GB + {b} x {context} x {cache:.0f} kB) / ({parallel} x 3.35 TB/s) or "
            f"{b} x {FORWARD_FLOPS} x {size:.1f}e9 / ({parallel} x 989e12), the longer, / {REACHED:g} x "
            f"{LORA_SLOWDOWN:g} = {1e3 * took:.1f} ms ({bound}): {b / took:.0f} tokens/s"
        )
    lines += [
        f"  training: {MFU['low']:g} to {MFU['high']:g} x 989e12 / ({TRAINED_FLOPS} x {size:.1f}e9) = {slow:.0f} to "
        f"{fast:.0f} tokens/s a GPU",
        f"  sync at {SYNC_BANDWIDTH / 1e9:g} GB/s: an adapter {sync_seconds(adapter * ADAPTER_BYTES):.3f} s, "
        f"all weights {sync_seconds(shape.weight_bytes):.1f} s",
    ]
    return "\n".join(lines)


def table(shape: Shape) -> str:
    """By number of GPUs, in Markdown."""
    columns = ("GPUs", "engines x TP", "learner GPUs", "GB of an engine's GPU", "GB of a learner's", "new tokens/s")
    columns += ("trained tokens/s", "sync s: adapters (weights)", "round s", "longest")
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for gpus in (8, 16, 32, 64, 128, 256, 512):
        one = best(shape, gpus)
        if one is None:
            lines.append(f"| {gpus} | does not fit |" + " |" * (len(columns) - 2))
            continue
        trained = [trained_tokens_per_second(shape, one.learners, MFU[how]) for how in ("low", "high")]
        lines.append(
            f"| {gpus} | {one.engines} x {shape.tensor_parallel} | {one.learners} | "
            f"{engine_memory(shape, one.engines) / 1e9:.0f} | {learner_memory(shape, one.learners) / 1e9:.0f} | "
            f"{one.generated_per_second:,.0f} | {trained[0]:,.0f} to {trained[1]:,.0f} | "
            f"{one.syncing:.2f} ({sync_seconds(shape.weight_bytes):.1f}) | "
            f"{one.seconds(MFU['high']):.0f} to {one.seconds(MFU['low']):.0f} | {one.bottleneck()} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the plan."""
    print((__doc__ or "").partition("\n\n")[2].partition("\n\n")[2])
    new, read = (sum(stage.requests * getattr(stage, tokens) for stage in STAGES) for tokens in ("new", "prompt"))
    print("The round: " + ", ".join(f"{s.name} {s.requests} x ({s.prompt} + {s.new})" for s in STAGES))
    print(f"  {new / 1e6:.2f}e6 new tokens, {read / 1e6:.1f}e6 of prompts, {TRAINED / 1e6:.2f}e6 trained on\n")
    for shape in (QWEN_7B, LLAMA_70B):
        print(f"{worked(shape)}\n\n{table(shape)}\n")


if __name__ == "__main__":
    main()
