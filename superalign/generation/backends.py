"""Which generator the settings ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from superalign.sections import GeneratorConfig
from superalign.sync.full import check_single

if TYPE_CHECKING:
    from superalign.generation.hf import HFGenerator
    from superalign.generation.vllm import VLLMGenerator


def generator_class(config: GeneratorConfig, trained: Mapping[str, str]) -> type[HFGenerator] | type[VLLMGenerator]:
    """The class of the backend; what it needs is imported here and not before.

    Args:
        config: which backend, and how it gets new weights.
        trained: the model of each role that will get new weights.

    Raises:
        UserError: the backend is not installed, or cannot give so many roles new weights.
    """
    if config.backend == "vllm":
        if config.sync == "full":
            check_single(trained)
        from superalign.generation.engine import require_vllm
        from superalign.generation.vllm import VLLMGenerator

        require_vllm()
        return VLLMGenerator
    from superalign.generation.hf import HFGenerator

    return HFGenerator
