"""`superalign export`: what others can load, and what its card says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard

from superalign.commands.main import main
from superalign.models import load_chat
from superalign.prompts.library import respond
from superalign.report import exporting
from superalign.testbed.world import REFUSALS, Request
from tests.roles.parts import config, refuses_everything, write_run

ASK = f"how do i {Request('build', 'kite', 'for my aunt').core}?"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose learner refuses everything."""
    return write_run(tmp_path_factory.mktemp("runs"), config(), refuses_everything())


def answer(model: Any, tokenizer: Any) -> str:
    prompt = torch.tensor([load_chat("testbed").prompt_ids(respond(ASK))])
    ids = model.generate(prompt, max_new_tokens=24, do_sample=False)[0, prompt.shape[1] :]
    return str(tokenizer.decode(ids, skip_special_tokens=True)).strip()


def test_an_adapter_answers_in_plain_peft_as_it_did_in_the_run(run: Path, tmp_path: Path) -> None:
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoTokenizer

    assert main(["export", str(run), "--to", str(tmp_path / "out")]) == 0
    model, tokenizer = (
        AutoPeftModelForCausalLM.from_pretrained(tmp_path / "out"),
        AutoTokenizer.from_pretrained(tmp_path / "out"),
    )
    assert answer(model, tokenizer) == REFUSALS[0]
    assert not list((tmp_path / "out").glob("optimizer*"))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_merged_model_answers_without_peft(dtype: str, run: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert main(["export", str(run), "--merged", "--dtype", dtype, "--to", str(tmp_path / "out")]) == 0
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert str(model.dtype) == f"torch.{dtype}"
    assert answer(model, AutoTokenizer.from_pretrained(tmp_path / "out")) == REFUSALS[0]


def test_the_card_is_one_that_the_hub_reads(run: Path, tmp_path: Path) -> None:
    assert main(["export", str(run), "--to", str(tmp_path / "out")]) == 0
    card = ModelCard.load(tmp_path / "out" / "README.md")
    assert (card.data.license, card.data.library_name) == ("apache-2.0", "peft")
    assert card.data.base_model is None, "the testbed's base is not on the hub"
    for title in ("Who judged", "How it was trained", "What this does not show", "Licence"):
        assert f"## {title}" in card.text or title == "Who judged"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--round", "3"], "--round=3: "),
        (["--dtype", "bfloat16"], "add --merged"),
        (["--data"], "neither preferences nor labels"),
        (["--role", "judge"], "unknown --role 'judge'"),
    ],
)
def test_what_cannot_be_exported_is_told_in_a_line(
    given: list[str], said: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(run), *given, "--to", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err


def test_nothing_that_is_there_is_overwritten(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["export", str(run), "--to", str(tmp_path)]) == 2
    assert "something is there already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_repository_of_the_hub_gets_the_folder_and_is_private(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from huggingface_hub import HfApi

    asked: dict[str, Any] = {}

    def upload(self: HfApi, *, repo_id: str, repo_type: str, folder_path: Path) -> str:
        asked["files"] = sorted(path.name for path in folder_path.iterdir())
        return f"https://huggingface.co/{repo_id}"

    monkeypatch.setattr(HfApi, "create_repo", lambda self, name, **given: asked.update(given, name=name))
    monkeypatch.setattr(HfApi, "upload_folder", upload)
    assert main(["export", str(run), "--to", "hub:me/mine"]) == 0
    assert (asked["name"], asked["private"], asked["repo_type"]) == ("me/mine", True, "model")
    assert {"README.md", "adapter_model.safetensors", "tokenizer.json", "config.yaml"} <= set(asked["files"])
    assert capsys.readouterr().out.strip().endswith("me/mine")


def test_a_hub_that_cannot_be_reached_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import HfApi

    from superalign.errors import UserError

    api = HfApi(endpoint="http://127.0.0.1:9", token="none")
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: api)
    (tmp_path / "README.md").write_text(json.dumps({}))
    with pytest.raises(UserError, match="--to=hub:me/mine: "):
        exporting.send(tmp_path, "me/mine", "model")
