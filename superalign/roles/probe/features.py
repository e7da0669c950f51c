"""What heads read of a request and an answer: hidden states of a frozen model, each text read once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from superalign.config.sections import ProbeSettings
from superalign.errors import UserError
from superalign.generation.base import Generator
from superalign.models import load_chat, load_config
from superalign.prompts.library import respond
from superalign.roles.protocols import Services

REQUEST, END, MEAN = range(3)  # places of `hidden_states`
KEPT = 4096  # texts whose states are remembered


class Features:
    """Features of (request, answer) texts under one model.

    Args:
        services: who gives hidden states.
        model: the frozen model that reads.
        settings: which layers are read, as shares of its depth (.6 of 30 layers is what layer 18 gives), and how much
            of an answer.
    """

    def __init__(self, services: Services, model: str, settings: ProbeSettings) -> None:
        if services.states is None:
            raise UserError("a probe needs hidden states, and nobody gives any here")
        self.states, self.model = services.states, model
        self.most = settings.read_tokens or services.config.learner.max_new_tokens
        self.chat = load_chat(model)
        count = load_config(model).get_text_config().num_hidden_layers
        self.layers = sorted({max(1, round(depth * count)) for depth in settings.layers})
        self.role: str | None = None
        self.generator: Generator | None = None
        self._version = -1
        self._known: dict[tuple[str, str], NDArray[np.float32]] = {}

    def adapted(self, role: str, generator: Generator) -> None:
        """Read the last layer, under the adapter that is served for a role."""
        self.role, self.generator = role, generator
        self.layers = [load_config(self.model).get_text_config().num_hidden_layers]

    def ids(self, query: str, answer: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The tokens of a request as it is asked and of what is read of an answer."""
        prompt = tuple(self.chat.prompt_ids(respond(query), self.most))
        said = tuple(self.chat.encode(answer)[: self.most]) if answer else ()
        return prompt, said[: max(0, self.chat.context - len(prompt))]

    def of(self, texts: Sequence[tuple[str, str]], what: Literal["request", "answer"]) -> NDArray[Any]:
        """Features for dimensions of the request: at its end; of the answer: at its end and on its mean.

        Returns:
            Of shape (texts, layers * width), or twice as wide.
        """
        if self.generator is not None and (version := self.generator.versions()[str(self.role)]) != self._version:
            self._known, self._version = {}, version
        self._read(texts)
        if not texts:
            return np.zeros((0, 1), dtype=np.float32)
        found = np.stack([self._known[text] for text in texts])
        for text in list(self._known)[:-KEPT]:
            del self._known[text]
        places = [REQUEST] if what == "request" else [END, MEAN]
        return found[:, places].reshape(len(texts), -1)

    def _read(self, texts: Sequence[tuple[str, str]]) -> None:
        missing = [text for text in dict.fromkeys(texts) if text not in self._known]
        if not missing:
            return
        prompts, answers = zip(*(self.ids(*text) for text in missing), strict=True)
        found = self.states.hidden_states(self.model, prompts, answers, self.layers, self.role)
        self._known.update(zip(missing, found, strict=True))
