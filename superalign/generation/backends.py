"""Which generator the settings ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from superalign.sections import GeneratorConfig

if TYPE_CHECKING:
    from superalign.generation.hf import HFGenerator
    from superalign.generation.vllm import VLLMGenerator


def generator_class(config: GeneratorConfig) -> type[HFGenerator] | type[VLLMGenerator]:
    """The class of the backend; what it needs is imported here and not before.

    Raises:
        UserError: the backend is not installed.
    """
    if config.backend == "vllm":
        from superalign.generation.engine import require_vllm
        from superalign.generation.vllm import VLLMGenerator

        require_vllm()
        return VLLMGenerator
    from superalign.generation.hf import HFGenerator

    return HFGenerator
