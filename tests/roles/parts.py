"""Small parts for tests of the roles: records, a generator that says what a test chose, a trainer that tells."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from superalign.config.schema import Config
from superalign.config.sections import AdapterCriticConfig, ClusterConfig
from superalign.experts.items import Item
from superalign.feedback.calibration import Calibrator
from superalign.generation.base import Generation, GenerationRequest, Tensors
from superalign.generation.hf import HFGenerator
from superalign.models import load_chat
from superalign.prompts import library
from superalign.records import ExpertLabel, Judgement, Query, Response, Seed, content_id
from superalign.roles.attacker import TrainedAttacker, make_attacker
from superalign.roles.critic.generative import GenerativeCritic
from superalign.roles.critic.registry import critic_class
from superalign.roles.critic.verdicts import VerdictModel
from superalign.roles.judge import OracleJudge
from superalign.roles.protocols import Services
from superalign.store.adapters import MEMORY, WEIGHTS
from superalign.store.run_writer import RunWriter
from superalign.testbed.world import REFUSALS, seeds
from superalign.training.service import TrainingService
from tests.training.phases import SFT, sft

ROLES = ("attacker", "critic", "learner")
CHAT = load_chat("testbed")


def config(**sections: Any) -> Config:
    """Settings of the testbed on one thread."""
    return Config.model_validate({"cluster": ClusterConfig(mode="inline", threads=1), **sections})


def serve() -> HFGenerator:
    """The shipped base in every role."""
    c = config()
    return HFGenerator(dict.fromkeys((*ROLES, "judge"), "testbed"), c.lora, c.generator, threads=1)


def critic(settings: Config, generator: Any, trainer: Any = None, role: str = "critic") -> VerdictModel:
    """The critic of these settings as the loop uses it."""
    return critic_class(settings)(settings, generator, trainer, role)


def generative(settings: Config, generator: Any, trainer: Any = None) -> GenerativeCritic:
    """The generative critic itself."""
    assert isinstance(settings.critic, AdapterCriticConfig)
    return GenerativeCritic(settings.critic, Services(settings, generator, trainer))


def attacker(settings: Config, generator: Any, trainer: Any = None) -> TrainedAttacker:
    """The trained attacker."""
    made = make_attacker(settings, generator, trainer)
    assert isinstance(made, TrainedAttacker)
    return made


def oracle_judge() -> OracleJudge:
    """The testbed's oracle as a judge."""
    return OracleJudge(None, Services(config(), Scripted(), None, "judge"))


class RecordingTrainer(TrainingService):
    """The real service; keeps what it was asked to train on."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(ROLES, "testbed"), config().lora, threads=1)
        self.rows: list[dict[str, Any]] = []
        self.anchors: list[dict[str, Any]] = []
        self.phase: Any = None
        self.algorithm = ""

    def train(
        self, role: str, algorithm: str, rows: Any, phase: Any, anchors: Any = (), seed: int = 0
    ) -> dict[str, float]:
        """As the service does."""
        self.algorithm, self.phase = algorithm, phase
        self.rows, self.anchors = list(rows), list(anchors)
        return super().train(role, algorithm, rows, phase, anchors, seed)

    def told(self) -> list[tuple[str, str]]:
        """(prompt, completion) texts of the last supervised rows."""
        return [(CHAT.decode(row["prompt_ids"]), CHAT.decode(row["completion_ids"])) for row in self.rows]


@dataclass
class Scripted:
    """A generator whose words and verdicts a test chooses by (role, prompt text)."""

    says: Callable[[str, str], str] = lambda role, prompt: "yes"
    odds: Callable[[str, str], float] = lambda role, prompt: 0.0  # log-odds of the first of two choices
    finished: bool = True
    asked: list[tuple[str, str]] = field(default_factory=list)

    def generate(self, requests: Sequence[GenerationRequest], seed: int) -> list[Generation]:
        """What `says` says, word for word."""
        out = []
        for request in requests:
            prompt = CHAT.decode(request.prompt_ids)
            self.asked.append((request.role, prompt))
            text = self.says(request.role, prompt)
            ids = tuple(CHAT.encode(text))
            out.append(Generation(ids, (-1.0,) * len(ids), -0.5 if self.finished else None, text, self.finished, 7))
        return out

    def choice_logits(self, role: str, prompts: Sequence[tuple[int, ...]], choices: Sequence[int]) -> list[list[float]]:
        """The odds of `odds`."""
        texts = [CHAT.decode(prompt) for prompt in prompts]
        self.asked += [(role, text) for text in texts]
        return [[self.odds(role, text), 0.0] for text in texts]

    def sequence_logprobs(
        self, role: str | None, prompts: Sequence[tuple[int, ...]], completions: Sequence[tuple[int, ...]]
    ) -> list[list[float]]:
        """Everything is fluent."""
        return [[-1.0] * len(completion) for completion in completions]

    def load_adapter(self, role: str, tensors: Tensors, version: int) -> int:
        """Take anything."""
        return version

    def versions(self) -> dict[str, int]:
        """All roles at version 7."""
        return dict.fromkeys((*ROLES, "judge"), 7)


def odds(points: dict[str, float], pairs: dict[tuple[str, str], float]) -> Scripted:
    """A critic's log-odds by the answers that stand in the prompt; 0 where none is given."""

    def look(_: str, prompt: str) -> float:
        if "\nFirst: " in prompt:
            return next((x for (a, b), x in pairs.items() if f"First: {a}\nSecond: {b}\n" in prompt), 0.0)
        return next((x for a, x in points.items() if f"Answer: {a}\n" in prompt), 0.0)

    return Scripted(odds=look)


def query(text: str, kind: str = "benign", category: str = "everyday", novelty: float = 0.0) -> Query:
    """A query that a test wrote."""
    assert kind in ("harmful", "benign")
    harmful = kind == "harmful"
    return Query(
        content_id("query", text), content_id("seed", text), text, "harmful" if harmful else "benign", category,
        "plain", "static", 1, novelty,
    )  # fmt: skip


def response(asked: Query, text: str, origin: str = "sample") -> Response:
    """An answer of the learner with the ids that it would have."""
    return Response(
        content_id("response", asked.id, text), asked.id, text, tuple(CHAT.prompt_ids(library.respond(asked.text))),
        tuple(CHAT.closed(CHAT.encode(text))), (), "revision" if origin == "revision" else "sample", 0,
    )  # fmt: skip


def point(answer: Response, p: float, category: str = "everyday") -> Judgement:
    """A verdict on one answer."""
    return Judgement(
        content_id("point", answer.id), "point", answer.query_id, answer.id, "", category, 0.0, p, 0.0, False, False, 0
    )


def seed(text: str, kind: str = "benign", category: str = "everyday") -> Seed:
    """A seed of the train split."""
    return Seed(content_id("seed", text), text, "harmful" if kind == "harmful" else "benign", category, "train")


def labelled(
    number: int | str, value: float, text: str = "", second: str = "", annotator: str = "ann", pi: float = 0.5
) -> tuple[Item, ExpertLabel]:
    """An escalated item with an expert's answer; a pair if there is a second text."""
    ask, said, kind = f"how do i build kite {number}?", text or f"answer {number}", "pair" if second else "point"
    item = Item(
        f"item-{number}", 1, "pair" if second else "point", f"q{number}", f"r{number}", f"s{number}" if second else "",
        ask, said, second, "", "everyday", pi, "active", False, False,
    )  # fmt: skip
    label = ExpertLabel(f"{annotator}-{number}", item.id, item.kind, annotator, value, pi, "active", 1, False)
    assert item.kind == kind
    return item, label


def refuses_everything() -> RecordingTrainer:
    """A service whose learner has been taught to refuse whatever it is asked."""
    trainer = RecordingTrainer()
    refusal = CHAT.closed(CHAT.encode(REFUSALS[0]))
    asked = [CHAT.prompt_ids(library.respond(s.text)) for s in seeds(0, 40)]
    rows = [{"prompt_ids": ids, "completion_ids": refusal, "weight": 1.0} for ids in asked]
    trainer.train("learner", SFT, rows, sft(learning_rate=2e-3, batch_size=8, epochs=4), seed=0)
    return trainer


def write_run(root: Path, settings: Config, trainer: TrainingService) -> Path:
    """A run with one committed round that holds the trainer's weights."""
    with RunWriter.create_or_resume(settings.model_dump(), root, "tried", Console(file=io.StringIO())) as run:
        folder = run.begin_round(0)
        trainer.save((folder / WEIGHTS).resolve())
        calibrators = dict.fromkeys(("point", "pair"), Calibrator().to_row())
        (folder / MEMORY).write_text(json.dumps({"critic": calibrators | {"dimensions": {}}}))
        run.commit_round(0, {"metrics": {}, "counts": {}, "train": {}})
        return run.folder
