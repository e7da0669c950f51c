"""Everything here needs vLLM, which has an environment of its own: make test-vllm."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from superalign.generation.hf import HFGenerator
from superalign.generation.vllm import VLLMGenerator
from tests.vllm.parts import ROLES, hf, save_qwen, served


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = find_spec("vllm") is None
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.vllm)
            if missing:
                item.add_marker(pytest.mark.skip(reason="vLLM is not installed here: make test-vllm"))


@pytest.fixture(scope="session")
def engines() -> tuple[HFGenerator, VLLMGenerator]:
    """Both generators for roles of the testbed's model; adapters stay as the last test left them, `judge` gets none."""
    roles = dict.fromkeys((*ROLES, "judge"), "testbed")
    return hf(roles), served(roles)


@pytest.fixture(scope="session")
def tied(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Folders of two random Qwen3 models with tied embeddings, alike in shape and in no weight."""
    folder = tmp_path_factory.mktemp("tied")
    return save_qwen(folder / "one", seed=1), save_qwen(folder / "two", seed=2)
