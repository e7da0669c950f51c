"""How long a plan takes on this machine, from a few seconds of the work itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from superalign.config.schema import Config
from superalign.generation.base import GenerationRequest
from superalign.planning.run_plan import Calls, RoundPlan, Verdicts
from superalign.prompts import library
from superalign.training.algorithms.sft import REFERENCE
from superalign.training.base import Phase

T = TypeVar("T")
LARGEST: Final = 20_000_000  # parameters of a model that answers and learns within seconds on a CPU
LIMIT_S: Final = 10.0
PAIR_FACTOR: Final = 4 / 3  # pairs pass the reference, too: one of four passes, as a backward pass counts as two
ASKED: Final = 32  # requests that are answered
STEP: Final = 8  # of the answers to them, in a step of training


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of an answer, of a verdict, of a phase of training beside its steps, of a sequence trained on."""

    answer: float
    verdict: float
    phase: float
    sequence: float
    took: float

    def seconds(self, plan: RoundPlan) -> float:
        """Of the models' work in one such round."""
        total = 0.0
        for each in plan.work:
            if isinstance(each, Calls):
                total += each.count * self.answer
            elif isinstance(each, Verdicts):
                total += each.count * self.verdict
            else:
                reference = PAIR_FACTOR if each.completions == 2 else 1.0
                total += each.phases * self.phase + each.passes * reference * self.sequence
        return total


def too_large(config: Config, parameters: Sequence[int]) -> str | None:
    """Why nothing is timed: that alone would take long; None where it can be done in seconds."""
    if config.generator.backend != "hf":
        return f"starting generator={config.generator.backend} to time it takes longer than this"
    if max(parameters) > LARGEST:
        return f"timing a model of {max(parameters):,} parameters takes longer than this; one round tells it"
    return None


def measure(config: Config) -> Timing | None:
    """Answer requests, score the answers and train on them, with the learner's model and settings.

    None where that takes more than `LIMIT_S`.

    Raises:
        UserError: a model or the seeds cannot be loaded.
    """
    from superalign.data.seeds import load_seeds
    from superalign.generation.hf import HFGenerator
    from superalign.models import load_chat
    from superalign.training.service import TrainingService

    began, model = time.perf_counter(), config.model_of("learner")
    generator = HFGenerator({"learner": model}, config.lora, config.generator, config.cluster.threads)
    trainer = TrainingService({"learner": model}, config.lora, config.cluster.threads, config.trainer.dtype)
    limit, chat = config.learner.max_new_tokens, load_chat(model)
    prompts = [
        tuple(chat.prompt_ids(library.respond(seed.text), limit))
        for seed in load_seeds(config.data, config.seed)[:ASKED]
    ]
    requests = [GenerationRequest("learner", ids, limit, 1.0) for ids in prompts]
    generator.generate(requests[:2], 0)
    answers, answer = _timed(lambda: generator.generate(requests, 0))
    _, verdict = _timed(lambda: generator.choice_logits("learner", prompts, [0, 1]))
    rows = [
        {"prompt_ids": list(ids), "completion_ids": chat.closed(said.token_ids), "weight": 1.0}
        for ids, said in zip(prompts, answers, strict=True)
    ]

    def train(count: int) -> float:
        """Seconds of a phase on so many rows, all in steps of STEP."""
        phase = Phase(learning_rate=1e-9, epochs=1, batch_size=STEP)
        return trainer.train("learner", REFERENCE, rows[:count], phase)["seconds"]

    train(STEP)  # the first one loads code
    if time.perf_counter() - began > LIMIT_S:
        return None
    one, all_rows = train(STEP), train(len(rows))
    sequence = max(0.0, all_rows - one) / max(1, len(rows) - STEP)
    return Timing(
        answer=answer / len(rows),
        verdict=verdict / len(rows),
        phase=max(0.0, one - STEP * sequence),
        sequence=sequence,
        took=time.perf_counter() - began,
    )


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    began = time.perf_counter()
    return work(), time.perf_counter() - began
