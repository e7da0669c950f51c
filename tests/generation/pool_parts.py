"""An engine without weights: what it says depends on the adapters it got, the seed and the request's number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from superalign.generation.base import Generation, GenerationRequest


class Speller:
    """Light enough to be started many times."""

    def __init__(self, roles: Sequence[str]) -> None:
        self.served = dict.fromkeys(roles, 0)
        self.added = dict.fromkeys(roles, 0)

    def generate(self, requests: Sequence[GenerationRequest], seed: int) -> list[Generation]:
        return [self._one(r, seed) for r in requests]

    def load_adapter(self, role: str, tensors: dict[str, Any], version: int) -> int:
        self.added[role], self.served[role] = tensors["added"], version
        return version

    def versions(self) -> dict[str, int]:
        return dict(self.served)

    def _one(self, request: GenerationRequest, seed: int) -> Generation:
        assert request.number is not None
        tokens = (*request.prompt_ids, seed + request.number + self.added[request.role])
        return Generation(tokens, (0.0,) * len(tokens), None, "", False, self.served[request.role])
