"""Which generator the settings ask for."""

from __future__ import annotations

from collections.abc import Mapping

from superalign.config.sections import GeneratorConfig
from superalign.generation.base import Generator
from superalign.generation.sync.full import check_single
from superalign.runtime.lazy_class import LazyClass
from superalign.training.base import SupportsSleep

HF: LazyClass[Generator] = LazyClass("superalign.generation.hf", "HFGenerator", (Generator,))
VLLM: LazyClass[Generator] = LazyClass("superalign.generation.vllm", "VLLMGenerator", (Generator, SupportsSleep))


def generator_class(config: GeneratorConfig, trained: Mapping[str, str]) -> LazyClass[Generator]:
    """The class of the backend.

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

        require_vllm()
        return VLLM
    return HF
