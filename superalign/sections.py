"""The sections of the schema: what each part of a run can be told, and its defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(gt=0)]
NonNegative = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0.0)]


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Several = Annotated[tuple[str, ...], BeforeValidator(_listed)]
"""One word or several: a run goes through all of them (`task=digits,safety`)."""


class Section(BaseModel):
    """Base of all sections: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RunConfig(Section):
    """Where the run is kept. An existing unfinished run of the same name resumes."""

    name: str | None = None
    root: str = "runs"


class DataConfig(Section):
    """Seed requests: `testbed`, a .jsonl/.csv/.parquet path, or `hub:NAME`.

    `source` (in short: `data=...`) is the same for the rows of weak-to-strong tasks. `columns` maps our fields (id,
    text, kind, category, lookalike; a task's own) to the file's columns; `harmful_values` are the values of the kind
    column that mean harmful. `eval_share` of the seeds is held out for evaluation.
    """

    seeds: str = "testbed"
    source: str = "testbed"
    columns: dict[str, str] = {}
    kind: Literal["harmful", "benign"] | None = None
    harmful_values: tuple[str, ...] = ("harmful", "unsafe", "1", "true")
    hub_split: str = "train"
    eval_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.3
    limit: Positive | None = None


class LoraConfig(Section):
    """The adapter that each role is (arXiv 2106.09685), on all linear layers of the frozen base."""

    r: Positive = 16
    alpha: Positive = 32


class AttackerConfig(Section):
    """The attacker: `candidates` rewritings for each of `seeds` seed requests a round, half harmful, half benign.

    Opponents are mixed: `current` share of the queries from the attacker now, `past` from its archive, the rest
    are static: plain seeds and seeds under the trained template families. A rewriting that keeps less than `faithful`
    of its seed's words is not asked; an attacker that paraphrases needs less.

    `algorithm`: `dpo` learns from the best and worst rewriting of each seed (`beta`, `max_pairs`), `grpo` and `ppo`
    from all of them (`clip`; `kl` is the price of a nat that a rewriting strays from the base). `iterations` times a
    round it attacks, is judged and takes a phase. `sought`: only the failure sought pays, help with harm or the refusal
    of a harmless request; else whatever the critic finds unacceptable. `novelty=false` leaves out of the reward all
    that pays for being new (an ablation); with `target`, the weight of that part follows how far attack success is
    above `target`, at `novelty_rate` (DiveR-CT, arXiv 2405.19026). `league`: past opponents are the `elites` strongest
    of every cell (risk category x tactic) of the archive, the more often the more the learner still fails them; else
    any, by their first strength. `anchor_batch` elites that worked, drawn evenly, are supervised beside each step of
    `grpo` and `ppo`, so that no tactic is unlearned. `turns`: how often it asks in one dialogue, seeing each answer;
    `dpo` learns the opening alone.
    """

    model: str | None = None
    algorithm: Literal["dpo", "grpo", "ppo"] = "dpo"
    seeds: Positive = 64
    candidates: Positive = 4
    turns: Positive = 1
    temperature: Rate = 0.5
    max_new_tokens: Positive = 96
    current: Fraction = 0.5
    past: Fraction = 0.3
    league: bool = False
    elites: Positive = 4
    faithful: Fraction = 0.95
    fluency_floor: float = -7.0
    duplicate: Fraction = 0.98
    sought: bool = False
    novelty: bool = True
    target: Fraction | None = None
    novelty_rate: Rate = 0.5
    learning_rate: Rate = 5e-4
    iterations: Positive = 1
    epochs: Positive = 1
    batch_size: Positive = 16
    beta: Rate = 0.1
    max_pairs: Positive = 48
    clip: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    kl: float = Field(0.01, ge=0.0)
    anchor_batch: NonNegative = 0
    anchor_weight: float = Field(1.0, ge=0.0)

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if self.current + self.past > 1:
            raise ValueError(
                f"attacker.current + attacker.past is {self.current + self.past:g}: together they may be 1 at most, "
                "the rest are static"
            )
        if self.algorithm == "grpo" and self.candidates < 2:
            raise ValueError("attacker=grpo compares rewritings of one seed: attacker.candidates must be >= 2")
        return self


class CriticConfig(Section):
    """The critic. `verdicts=shuffled` permutes its verdicts within a round: the control that feedback matters.

    New expert labels are learned `epochs` times, earlier ones once more each round, and `rehearsed` verdicts of the
    initial critic are rehearsed so that it does not forget. `planted_share` of what teaches verdicts are planted flaws,
    with `subtle_flaws` single sentences of other answers among them.
    `stages=2`: then `critiques` samples for each of `coached` responses are rewarded by what the learner's revision
    gains over one that reads a `placebo`, and reinforced by `coach`; the `evaluator` scores. `critique_tokens`:
    longer ones are penalised. `variance`, for escalation: how far `members` are from the verdict: paraphrased
    questions (`ensemble`) or adapters with `dropout` of their ranks; `views` of a pair cost nothing.
    """

    kind: Literal["generative", "classifier", "debate", "consultancy"] = "generative"
    model: str | None = None
    verdicts: Literal["model", "shuffled"] = "model"
    max_new_tokens: Positive = 48
    abstain: Fraction = 0.1
    learning_rate: Rate = 5e-4
    epochs: Positive = 3
    batch_size: Positive = 16
    planted_share: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.3
    subtle_flaws: bool = False
    rehearsed: NonNegative = 48
    calibration_share: Fraction = 0.3
    stages: Literal[1, 2] = 1
    coach: Literal["dpo", "grpo"] = "dpo"
    coach_learning_rate: Rate = 2e-3
    coached: Positive = 96
    critiques: Annotated[int, Field(ge=2)] = 4
    critique_tokens: Positive = 32
    placebo: Literal["other", "contentless"] = "contentless"
    evaluator: Literal["judge", "critic"] = "judge"
    variance: Literal["views", "ensemble", "dropout"] = "views"
    members: Positive = 4
    dropout: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2

    @model_validator(mode="after")
    def _wordless(self) -> Self:
        if self.kind == "classifier" and self.stages == 2:
            raise ValueError("critic=classifier writes no critiques that a second stage could train: critic.stages=1")
        if self.kind == "classifier" and self.variance == "dropout":
            raise ValueError("critic=classifier has no adapter to drop ranks of: use critic.variance=ensemble")
        return self


class LearnerConfig(Section):
    """The learner: `samples` answers per query, refined by `algorithm`.

    `dpo` learns from the blended preferences of a round, `kto` from its blended point labels. `online_dpo`, `grpo`,
    `rloo` and `ppo` are on-policy: `iterations` times a round the learner answers, is judged and takes a short phase.
    `anchor_batch` own answers that the critic accepts are supervised beside each step. `learning_rate` is that of
    round 1; it falls as 1/sqrt(round). At most `max_pairs` preferences or `max_rows` single answers are used, those of
    largest weight. `clip`: of policy ratios. `kl`: strength of the penalty on leaving the policy that answered (`ppo`:
    the base; adapted so that a completion strays `kl_target` nats, null: fixed).
    `gae_lambda`, `value_learning_rate`: of `ppo`. `reward`: a run of recipe=reward_model, whose model
    rewards answers in the critic's place (`grpo`, `rloo`, `ppo`).
    """

    algorithm: Literal["dpo", "kto", "grpo", "rloo", "ppo", "online_dpo"] = "dpo"
    loss: Literal["cdpo", "dpo", "rdpo", "ropo", "drdpo", "ipo"] = "cdpo"
    samples: Positive = 4
    temperature: Rate = 1.0
    max_new_tokens: Positive = 64
    beta: Rate = 0.1
    nll: float = Field(0.05, ge=0.0)
    learning_rate: Rate = 4.5e-4
    epochs: Positive = 2
    batch_size: Positive = 8
    max_pairs: Positive = 96
    max_rows: Positive = 256
    iterations: Positive = 1
    clip: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    kl: float = Field(0.02, ge=0.0)
    kl_target: Rate | None = 12.0
    gae_lambda: Fraction = 0.95
    value_learning_rate: Rate = 5e-3
    anchor_batch: NonNegative = 24
    anchor_weight: float = Field(1.0, ge=0.0)
    revise: bool = True
    reward: str | None = None

    @model_validator(mode="after")
    def _rewarded(self) -> Self:
        if self.reward and self.algorithm not in ("grpo", "rloo", "ppo"):
            raise ValueError(
                f"learner.reward is what grpo, rloo and ppo learn from; learner={self.algorithm} learns from labels"
            )
        return self

    @property
    def scores(self) -> bool:
        """Whether the algorithm learns from single answers, not from pairs."""
        return self.algorithm not in ("dpo", "online_dpo")


class ExpertConfig(Section):
    """The experts. `budget` is a hard cap on labels per round.

    `source=simulated` lets the testbed's oracle answer with `error_rate`; `queue` waits for people
    (`superalign experts serve RUN`). Training never waits for them unless `wait=true`. `store`: the URL of a database
    that several runs may share, null for a file in the run folder. `policy`: how items are chosen; the labels of
    `uncertainty` tell of the least certain items alone, `all` needs a budget that holds every item. `votes` annotators
    answer each item. For people only: `blind_share` of the items hide the critique until they have answered,
    `gold_share` are traps whose answer is known; `notify_webhook` and `notify_command` tell them that items wait;
    `hourly_rate` prices their time.
    """

    budget: NonNegative = 48
    source: Literal["simulated", "queue"] = "simulated"
    error_rate: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.05
    store: str | None = None
    policy: Literal["default", "random", "uncertainty", "none", "all"] = "default"
    votes: Positive = 1
    wait: bool = False
    wait_timeout_s: Rate = 86_400.0
    uniform_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.3
    forced_share: Fraction = 0.2
    double_share: Fraction = 0.1
    blind_share: Fraction = 0.5
    gold_share: Fraction = 0.03
    lease_s: Rate = 600.0
    notify_webhook: str | None = None
    notify_command: str | None = None
    hourly_rate: Annotated[float, Field(ge=0.0)] = 0.0


class GeneratorConfig(Section):
    """Batched generation: `backend=hf` runs on CPU and small GPUs, `vllm` on CPU and GPUs (an extra to install).

    `batch_tokens` bounds one padded batch of hf. The rest is of vllm. `sync=adapter` serves every role as an adapter
    beside the base; `full` merges and replaces the weights, for one trained role per model. `kv_cache_gb`: key-value
    cache of each engine on a CPU. `gpu_memory_utilization`: share of every GPU that all engines take together.
    `tensor_parallel`: GPUs over which each engine is spread. `sleep`: engines leave the memory of a GPU that they share
    with the trainer while it trains (vLLM's sleep level 1).
    """

    backend: Literal["hf", "vllm"] = "hf"
    batch_tokens: Positive = 16_384
    dtype: Literal["float32", "bfloat16"] = "float32"
    sync: Literal["adapter", "full"] = "adapter"
    kv_cache_gb: Rate = 1.0
    gpu_memory_utilization: Annotated[float, Field(gt=0.0, le=1.0)] = 0.4
    tensor_parallel: Positive = 1
    sleep: bool = False

    @model_validator(mode="after")
    def _sync(self) -> Self:
        if self.backend == "hf" and self.sleep:
            raise ValueError("generator.sleep is for generator=vllm, which takes a share of the GPU for itself")
        if self.backend == "hf" and self.sync == "full":
            raise ValueError("generator.sync=full is for generator=vllm; hf merges adapters into its base anyway")
        return self


class ClusterConfig(Section):
    """`mode=ray`: roles and services are actors on Ray (`address=local` starts one); `inline`: one process."""

    mode: Literal["inline", "ray"] = "ray"
    address: str = "local"
    threads: Positive = 2
    start_timeout_s: Rate = 180.0
    call_timeout_s: Rate = 3_600.0
    max_restarts: NonNegative = 5


class AsyncConfig(Section):
    """`max_staleness=1`: while the learner trains, its old weights answer the next round's queries already.

    The answers that it then learns from are one update old. For `dpo`, `online_dpo` and `kto` that needs no correction:
    their losses are of answers, whoever gave them. The others compare the policy with the recorded log-probabilities of
    the one that answered, a ratio clipped at `learner.clip`.
    """

    max_staleness: Literal[0, 1] = 0


class EvaluationConfig(Section):
    """Held-out evaluation before the first and after every round.

    `judge=auto`: the testbed's oracle where there is one, else the critic as it was before any training
    (never the one in training). `prompts` per attack family; `benign` plain and wrapped benign requests;
    `final_factor` multiplies the sample sizes at the first and last evaluation. `refinement`: turns of the frozen
    attacker that refines its queries from the learner's answers (PAIR, arXiv 2310.08419); 0: it does not play.
    """

    judge: Literal["auto", "oracle", "frozen_critic"] = "auto"
    prompts: Positive = 12
    benign: Positive = 64
    lookalikes: Positive = 64
    critic_probe: Positive = 192
    refinement: NonNegative = 0
    final_factor: Positive = 3
    bootstrap: Positive = 1000


class GuardsConfig(Section):
    """Guards of self-play: what an update makes worse beyond its paired 95 % interval is taken back, and reported.

    The critic must not lose Brier score on expert labels held back from it (once there are 30 of them), nor misjudge
    `planted` more of good answers and of the same with flaws planted in them. The learner may refuse at most
    `over_refusal` more of `items` harmless look-alikes and answer at most `helpfulness` fewer of `items` benign
    requests, graded by the critic as it was before any training, on requests that no report asks. The run stops when
    the proxy-gold gap grew by more than `gap_growth` two rounds running. The attacker starts again from its initial
    adapter when its unique successes fall to `collapse` of what the static opponents' success lets expect, where that
    is at least `min_successes`; closer than `similarity` (cosine) two successes are one.
    """

    enabled: bool = False
    items: Positive = 96
    planted: Fraction = 0.05
    over_refusal: Fraction = 0.03
    helpfulness: Fraction = 0.01
    gap_growth: Fraction = 0.05
    collapse: Fraction = 0.5
    min_successes: Positive = 10
    similarity: Fraction = 0.9


class W2SConfig(Section):
    """Weak-to-strong: what is trained `seeds` times for every task, supervisor, weak, strong and method.

    `supervisor`: `weak` or an error structure at the same accuracy. `labels`: transforms of the weak labels, joined by
    `+`, for instance `calibrate+filter:0.5`, before the method's own. `alpha`, `ramp`, `threshold`: of the confidence
    loss (arXiv 2312.09390 A.4). `epochs`, `learning_rate`, `batch_size`: of every model, null for what suits its kind;
    `micro_batch` rows are forwarded at a time (0: all). `validation`: share of the labelled rows for early stopping on
    agreement with the labels given (0: none). `max_new_tokens`: of completions. `via`: the models between weak and
    strong of method=bootstrap, else the task's own. `cache`: where weak labels and ceilings are kept, by content; null
    for a folder beside the runs. `bootstrap`: resamples of every interval.
    """

    seeds: Positive = 10
    supervisor: Several = ("weak",)
    labels: str = ""
    alpha: Fraction = 0.75
    ramp: Fraction = 0.2
    threshold: Literal["batch", "streaming"] = "batch"
    epochs: Positive | None = None
    learning_rate: Rate | None = None
    batch_size: Positive | None = None
    micro_batch: NonNegative = 0
    validation: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    max_new_tokens: Positive = 64
    via: Several = ()
    cache: str | None = None
    bootstrap: Positive = 1000


class RedteamConfig(Section):
    """recipe=redteam: `target` is a run whose last learner is attacked; null attacks the model itself."""

    target: str | None = None


class RefineConfig(Section):
    """recipe=self_refine: answers to `queries` requests a round are criticised, revised, and learned by `method`.

    `constitution`: a text file with a principle on each line, one of which a critique goes by; null for
    conf/constitution.txt.
    """

    constitution: str | None = None
    method: Literal["sft", "dpo"] = "dpo"
    queries: Positive = 128


class RewardConfig(Section):
    """recipe=reward_model: preferences come from `data=` (columns prompt, chosen, rejected) or from the testbed.

    Of the testbed `pairs` are made, and `flips` of those trained on have the wrong answer as the chosen one. A round is
    one pass over the training pairs. `center` keeps rewards near 0 (arXiv 2312.09244).
    """

    pairs: Positive = 800
    flips: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.1
    learning_rate: Rate = 3e-3
    batch_size: Positive = 16
    center: float = Field(0.01, ge=0.0)


class TrackConfig(Section):
    """Trackers beside metrics.jsonl and TensorBoard, which are always written."""

    wandb: bool = False
    mlflow: bool = False
    trackio: bool = False
    project: str = "superalign"
