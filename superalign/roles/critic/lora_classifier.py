"""A critic that classifies: an adapter learns the dimensions, and heads read them from its last hidden states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from superalign.config.sections import LoraClassifierConfig
from superalign.roles.critic.probe import ProbeCritic
from superalign.roles.probe.material import Material
from superalign.roles.protocols import CriticBatch, Services
from superalign.training.algorithms.classification import REFERENCE
from superalign.training.base import Phase


class LoraClassifierCritic(ProbeCritic):
    """The probe critic on states that its adapter was trained to tell the dimensions by.

    It reads the last layer, under the adapter that the generator serves for its role.
    """

    config: LoraClassifierConfig

    def __init__(self, settings: LoraClassifierConfig, services: Services) -> None:
        super().__init__(settings, services)
        self.services = services
        self.features.adapted(services.role, services.generator)

    def learn(self, batch: CriticBatch, seed: int) -> dict[str, float]:
        """A phase of training of the adapter on what teaches the heads, then the heads anew.

        Raises:
            ValueError: this is a frozen judge.
        """
        trainer, role = self.services.trainer, self.services.role
        if trainer is None:
            raise ValueError("a frozen judge cannot learn")
        self._asked |= dict(batch.requests)
        rows = self._rows(self._material(batch, seed)[0])
        found: dict[str, float] = {}
        if rows:
            c = self.config
            phase = Phase(learning_rate=c.learning_rate, epochs=c.epochs, batch_size=c.batch_size)
            found = trainer.train(role, REFERENCE, rows, phase, (), seed)
            self.services.generator.load_adapter(role, trainer.adapter(role), trainer.version(role))
        return super().learn(batch, seed) | {f"adapter_{name}": value for name, value in found.items()}

    def _rows(self, material: Material) -> list[dict[str, Any]]:
        """One row for each text, with all that is known of it; the newest example of a dimension counts."""
        names = list(self.policy.dimensions)
        known: dict[tuple[str, str], dict[str, tuple[float, float]]] = {}
        for name, examples in material.items():
            for e in examples:
                known.setdefault((e.query, e.response), {})[name] = (e.y, e.weight)
        of_prompt = [self.policy.dimensions[name].of == "request" for name in names]
        rows = []
        for (query, response), told in known.items():
            prompt, answer = self.features.ids(query, response)
            values: Sequence[tuple[float, float]] = [told.get(name, (0.5, 0.0)) for name in names]
            rows.append(
                {
                    "prompt_ids": list(prompt),
                    "completion_ids": list(answer) or [self.features.chat.closed([])[0]],
                    "targets": [y for y, _ in values],
                    "weights": [w for _, w in values],
                    "of_prompt": of_prompt,
                }
            )
        return rows
