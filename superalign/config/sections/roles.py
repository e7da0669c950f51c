"""What each role can be told, and its defaults."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from superalign.config.sections.common import Fraction, NonNegative, Positive, PositiveFloat, Section


class AttackerConfig(Section):
    """The attacker: `candidates` rewritings for each of `seeds` seed requests a round, half harmful, half benign.

    Opponents are mixed: `current` share of the queries from the attacker now, `past` from its archive, the rest
    are static: plain seeds and seeds under the trained template families, at least one of them and each seed at most
    once, which with many candidates is less than the rest. A rewriting that keeps less than `faithful` of its seed's
    words is not asked; an attacker that paraphrases needs less.

    `algorithm`: `dpo` learns from the best and worst rewriting of each seed (`beta`, `max_pairs`), `grpo` and `ppo`
    from all of them (`clip`; `kl` is the price of a nat that a rewriting strays from the base). `iterations` times a
    round it attacks, is judged and takes a phase. `intended_failures_only`: only the failure sought pays, help
    with harm or the refusal of a harmless request; else whatever the critic finds unacceptable. `novelty=false`
    leaves out of the reward all
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
    temperature: PositiveFloat = 0.5
    max_new_tokens: Positive = 96
    current: Fraction = 0.5
    past: Fraction = 0.3
    league: bool = False
    elites: Positive = 4
    faithful: Fraction = 0.95
    fluency_floor: float = -7.0
    duplicate: Fraction = 0.98
    intended_failures_only: bool = False
    novelty: bool = True
    target: Fraction | None = None
    novelty_rate: PositiveFloat = 0.5
    learning_rate: PositiveFloat = 5e-4
    iterations: Positive = 1
    epochs: Positive = 1
    batch_size: Positive = 16
    beta: PositiveFloat = 0.1
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

    New expert labels are learned `epochs` times, earlier ones (`replayed` of them at most, chosen at random) once
    more each round, and `retention_rows` verdicts of the initial critic are rehearsed so that it does not forget.
    Of labels the share `calibration_share` is never trained on; the newest `calibration_labels` of it calibrate.
    `synthetic_flaw_share` of what teaches verdicts are planted flaws, with `subtle_flaws` single sentences of other
    answers among them. `stages=2`: then `critiques` samples for each of `critique_cases` responses are rewarded by what
    the learner's revision gains over one that reads a `placebo`, and reinforced by `critique_algorithm`; the
    `evaluator` scores.
    `critique_tokens`: longer ones are penalised. `variance`, for escalation: how far `members` are from the
    verdict: paraphrased questions (`ensemble`) or adapters with `dropout` of their ranks; `views` of a pair cost
    nothing.
    """

    kind: Literal["generative", "classifier", "debate", "consultancy"] = "generative"
    model: str | None = None
    verdicts: Literal["model", "shuffled"] = "model"
    max_new_tokens: Positive = 48
    abstain: Fraction = 0.1
    learning_rate: PositiveFloat = 5e-4
    epochs: Positive = 3
    batch_size: Positive = 16
    synthetic_flaw_share: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.3
    subtle_flaws: bool = False
    retention_rows: NonNegative = 48
    replayed: NonNegative = 384
    calibration_share: Fraction = 0.3
    calibration_labels: Positive = 384
    stages: Literal[1, 2] = 1
    critique_algorithm: Literal["dpo", "grpo"] = "dpo"
    critique_learning_rate: PositiveFloat = 2e-3
    critique_cases: Positive = 96
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
    The newest `anchors` of its own answers that the critic accepts are kept, `anchor_batch` of them supervised beside
    each step. `learning_rate` is that of round 1; it falls as 1/sqrt(round). At most `max_pairs` preferences or
    `max_rows` single answers are used, those of largest weight; of samples for policy gradients those to the queries
    whose answers differ most. `clip`: of policy ratios. `kl`: strength of the penalty on leaving the policy that
    answered (`ppo`: the base; adapted so that a completion strays `kl_target` nats, null: fixed).
    `gae_lambda`, `value_learning_rate`: of `ppo`. `reward`: a run of recipe=reward_model, whose model
    rewards answers in the critic's place (`grpo`, `rloo`, `ppo`).
    """

    algorithm: Literal["dpo", "kto", "grpo", "rloo", "ppo", "online_dpo"] = "dpo"
    loss: Literal["cdpo", "dpo", "rdpo", "ropo", "drdpo", "ipo"] = "cdpo"
    samples: Positive = 4
    temperature: PositiveFloat = 1.0
    max_new_tokens: Positive = 64
    beta: PositiveFloat = 0.1
    nll: float = Field(0.05, ge=0.0)
    learning_rate: PositiveFloat = 4.5e-4
    epochs: Positive = 2
    batch_size: Positive = 8
    max_pairs: Positive = 96
    max_rows: Positive = 256
    iterations: Positive = 1
    clip: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    kl: float = Field(0.02, ge=0.0)
    kl_target: PositiveFloat | None = 12.0
    gae_lambda: Fraction = 0.95
    value_learning_rate: PositiveFloat = 5e-3
    anchors: Positive = 480
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

    def rate(self, round: int) -> float:
        """The learning rate of a round: it falls, so that later rounds refine what earlier ones found."""
        return self.learning_rate / math.sqrt(round)

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
    wait_timeout_s: PositiveFloat = 86_400.0
    uniform_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.3
    forced_share: Fraction = 0.2
    double_share: Fraction = 0.1
    blind_share: Fraction = 0.5
    gold_share: Fraction = 0.03
    lease_s: PositiveFloat = 600.0
    notify_webhook: str | None = None
    notify_command: str | None = None
    hourly_rate: Annotated[float, Field(ge=0.0)] = 0.0

    @model_validator(mode="after")
    def _asked(self) -> Self:
        if 0 < self.budget < self.votes:
            raise ValueError(
                f"expert.votes={self.votes} answers to one item are more than expert.budget={self.budget} labels: "
                "nobody would be asked, set expert.votes lower or the budget to 0"
            )
        left = self.budget - self.votes * round(self.gold_share * self.budget / self.votes)
        if self.source == "queue" and self.budget and left < self.votes:
            raise ValueError(
                f"expert.gold_share={self.gold_share:g} leaves nothing of expert.budget={self.budget} for items that "
                "are no traps: nobody would be asked, set it lower"
            )
        return self
