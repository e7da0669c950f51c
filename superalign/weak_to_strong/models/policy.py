"""Language models as supervisors and students: they complete, imitate completions, and learn from preferences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from superalign.config.schema import Config
from superalign.config.sections import LoraConfig
from superalign.errors import UserError
from superalign.generation.base import GenerationRequest
from superalign.generation.hf import HFGenerator
from superalign.models import load_chat, load_tokenizer
from superalign.prompts import library
from superalign.training.algorithms import sft, wspo
from superalign.training.algorithms.dpo import DPOPhase
from superalign.training.base import Phase
from superalign.training.service import TrainingService
from superalign.weak_to_strong.base import Floats, Rows, Text
from superalign.weak_to_strong.models.backbones import check_memory, outline
from superalign.weak_to_strong.models.features import layered

POLICY = "policy"
BETA = 0.1
# Finetuning adapters of a language model: two epochs as in the paper (arXiv 2312.09390 A.1), a rate for adapters.
EPOCHS, RATE, BATCH = 2, 5e-4, 16


def model_of(spec: str, needs: str) -> str:
    """The language model that a spec names.

    Raises:
        UserError: it names none, or whole-model finetuning, or one that does not fit; `needs` says who needs one.
    """
    kind, _, model = spec.partition(":")
    if kind not in ("lora", "probe") or not model:
        raise UserError(
            f"{needs} trains an adapter of a language model, which {spec} is not: write lora:MODEL, for example "
            "lora:testbed"
        )
    model = layered(model)[0] if kind == "probe" else model
    if not outline(model).causal or outline(model).classifier:
        raise UserError(f"{needs} needs a causal language model: {spec} is an encoder or a classifier")
    check_memory(spec, model, trained=False)
    return model


def texts_of(inputs: Any, needs: str) -> tuple[Text, ...]:
    """The inputs as texts.

    Raises:
        UserError: they are vectors.
    """
    if isinstance(inputs, np.ndarray):
        raise UserError(f"{needs} reads texts and this task's rows are vectors: choose another task or method")
    found: tuple[Text, ...] = inputs
    return found


class Policy:
    """A language model with one fresh adapter, trained and served in this process.

    Args:
        model: a model name of superalign.
        config: the settings of the run.
        seed: of training; completions are greedy.
    """

    def __init__(self, model: str, config: Config, seed: int) -> None:
        lora, threads = LoraConfig(), config.cluster.threads
        self.config, self.seed, self.model = config, seed, model
        self.chat = load_chat(model)
        self.trainer = TrainingService(
            {POLICY: model}, lora, threads, config.trainer.dtype, micro_batch=config.trainer.micro_batch
        )
        self.generator = HFGenerator({POLICY: model}, lora, config.generator, threads)

    def imitate(self, rows: Rows, texts: Sequence[str], weights: Floats) -> dict[str, float]:
        """Supervised finetuning on one completion per row; rows of weight 0 are left out."""
        made = []
        for text, completion, w in zip(texts_of(rows.inputs, "imitation"), texts, weights, strict=True):
            if w > 0:
                prompt = self._prompt(text)
                made.append(
                    {"prompt_ids": prompt, "completion_ids": self._completion(completion, prompt), "weight": float(w)}
                )
        metrics = self.trainer.train(POLICY, sft.REFERENCE, made, Phase(**self._phase()), seed=self.seed)
        self._serve()
        return metrics

    def prefer(self, rows: Rows, first_better: Sequence[bool], weights: Floats) -> dict[str, float]:
        """DPO (arXiv 2305.18290 eq. 7) on one label per pair, weighted; pairs of weight 0 are left out."""
        made = []
        for (prompt, first, second), better, w in zip(self._pairs(rows), first_better, weights, strict=True):
            chosen, rejected = (first, second) if better else (second, first)
            if w > 0 and first != second:
                made.append({"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected, "q": 1.0, "w": w})
        if not made:
            raise UserError("preference training has no pair left: every weight is 0, or both responses are the same")
        phase = DPOPhase(loss="dpo", beta=BETA, nll=0.0, **self._phase())
        metrics = self.trainer.train(POLICY, "dpo", made, phase, seed=self.seed)
        self._serve()
        return metrics

    def match(self, rows: Rows, first_better: Sequence[bool], targets: Sequence[Sequence[float]]) -> dict[str, float]:
        """WSPO: match a weak policy's log-ratios on the tokens of the better response."""
        made = []
        for (prompt, first, second), better, target in zip(self._pairs(rows), first_better, targets, strict=True):
            made.append({"prompt_ids": prompt, "completion_ids": first if better else second, "target": list(target)})
        phase = wspo.WSPOPhase(beta=BETA, **self._phase())
        metrics = self.trainer.train(POLICY, wspo.REFERENCE, made, phase, seed=self.seed)
        self._serve()
        return metrics

    def complete(self, rows: Rows) -> tuple[list[str], Floats]:
        """Greedy completions, and the confidence in each: the geometric mean of its tokens' probabilities."""
        limit = self.config.w2s.max_new_tokens
        requests = [
            GenerationRequest(POLICY, tuple(self._prompt(t)), limit, 0.0) for t in texts_of(rows.inputs, "generation")
        ]
        completions = self.generator.generate(requests, self.seed)
        confidence = [float(np.exp(np.mean(one.logprobs))) if one.logprobs else 0.0 for one in completions]
        return [one.text for one in completions], np.array(confidence)

    def margins(self, rows: Rows) -> Floats:
        """Implicit reward of the first response less that of the second: beta * difference of log-ratios, nats."""
        pairs = self._pairs(rows)
        prompts = [tuple(prompt) for prompt, *_ in pairs for _ in (0, 1)]
        completions = [tuple(completion) for _, *both in pairs for completion in both]
        sums = np.array([sum(ratio) for ratio in self._log_ratios(prompts, completions)])
        return np.asarray(BETA * (sums[::2] - sums[1::2]), dtype=np.float64)

    def log_ratios(self, rows: Rows, first: Sequence[bool]) -> list[list[float]]:
        """log pi - log pi_ref of every token of the chosen side of each pair, in nats."""
        pairs = list(zip(self._pairs(rows), first, strict=True))
        chosen = [tuple(one if side else other) for (_, one, other), side in pairs]
        return self._log_ratios([tuple(prompt) for (prompt, _, _), _ in pairs], chosen)

    def _log_ratios(
        self, prompts: Sequence[tuple[int, ...]], completions: Sequence[tuple[int, ...]]
    ) -> list[list[float]]:
        now = self.generator.sequence_logprobs(POLICY, prompts, completions)
        before = self.generator.sequence_logprobs(None, prompts, completions)
        return [[a - b for a, b in zip(x, y, strict=True)] for x, y in zip(now, before, strict=True)]

    def _serve(self) -> None:
        self.generator.load_adapter(POLICY, self.trainer.adapter(POLICY), self.trainer.version(POLICY))

    def _prompt(self, text: Text) -> list[int]:
        return self.chat.prompt_ids(library.respond(text.prompt), self.config.w2s.max_new_tokens)

    def _completion(self, text: str, prompt: Sequence[int]) -> list[int]:
        """The ids of a finished answer, cut to the tokens allowed and to what the prompt leaves of the context."""
        room = min(self.config.w2s.max_new_tokens, self.chat.context - len(prompt))
        return self.chat.closed(self.chat.encode(text)[: room - 1])

    def _pairs(self, rows: Rows) -> list[tuple[list[int], list[int], list[int]]]:
        firsts, seconds = (texts_of(side, "preference training") for side in (rows.inputs, rows.seconds))
        prompts = [self._prompt(text) for text in firsts]
        return [
            (prompt, self._completion(a.response, prompt), self._completion(b.response, prompt))
            for prompt, a, b in zip(prompts, firsts, seconds, strict=True)
        ]

    def _phase(self) -> dict[str, Any]:
        """Length and rate of a phase of training: the user's settings, else what suits adapters."""
        c = self.config.w2s
        return {
            "learning_rate": c.learning_rate or RATE,
            "epochs": c.epochs or EPOCHS,
            "batch_size": c.batch_size or BATCH,
        }


def check_same_vocabulary(weak: str, strong: str) -> None:
    """Matching tokens needs the same tokens.

    Raises:
        UserError: the models' vocabularies differ.
    """
    if load_tokenizer(weak).get_vocab() != load_tokenizer(strong).get_vocab():
        raise UserError(f"method=wspo compares tokens: weak={weak} and strong={strong} have different vocabularies")
