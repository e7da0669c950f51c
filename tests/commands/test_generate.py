"""`superalign generate`: talking to a role of a run, or to a bare model."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from rich.console import Console

from superalign.commands.main import main
from superalign.store.run_writer import RunWriter
from superalign.testbed import oracle
from superalign.testbed.world import REFUSALS, Request
from tests.roles.parts import config, refuses_everything, write_run

REQUEST = Request("build", "kite", "for my aunt")
ASK = f"how do i {REQUEST.core}?"


@pytest.fixture(autouse=True)
def _no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose learner refuses everything."""
    return write_run(tmp_path_factory.mktemp("runs"), config(), refuses_everything())


def test_a_bare_model_answers_a_prompt(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "testbed", "--prompt", ASK]) == 0
    assert oracle.outcome(REQUEST, capsys.readouterr().out) == "full"


def test_a_run_answers_with_its_last_weights_and_only_in_the_role_they_are_of(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", str(run), "--prompt", ASK]) == 0
    assert capsys.readouterr().out.strip() == REFUSALS[0]
    assert main(["generate", str(run), "--role", "attacker", "--prompt", ASK]) == 0
    assert oracle.outcome(REQUEST, capsys.readouterr().out) == "full"


def test_without_a_prompt_every_line_of_standard_input_is_answered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Request("sell", "guitar", "on a rainy day")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{ASK}\n\n  how do i {other.core}?"))
    assert main(["generate", "testbed"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert (oracle.outcome(REQUEST, first), oracle.outcome(other, second)) == ("full", "full")


def test_the_seed_counts_where_there_is_heat(capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for seed in ("1", "1", "2"):
        main(["generate", "testbed", "--prompt", ASK, "--temperature", "2.5", "--seed", seed])
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] != said[2]


def test_an_answer_is_no_longer_than_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    main(["generate", "testbed", "--prompt", ASK])
    whole = capsys.readouterr().out.strip()
    main(["generate", "testbed", "--prompt", ASK, "--max-new-tokens", "3"])
    short = capsys.readouterr().out.strip()
    assert whole.startswith(short)
    assert 0 < len(short) < len(whole) / 2


def test_a_run_without_a_committed_round_has_nobody_to_talk_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with RunWriter.create_or_resume(config().model_dump(), tmp_path, "young", Console(file=io.StringIO())):
        pass
    assert main(["generate", str(tmp_path / "young"), "--prompt", ASK]) == 2
    assert "has committed no round yet" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["generate", "eval"])
@pytest.mark.parametrize("recipe", ["weak_to_strong", "reward_model"])
def test_a_run_of_a_recipe_without_roles_has_nobody_to_talk_to(
    verb: str, recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with RunWriter.create_or_resume(
        config(recipe=recipe).model_dump(), tmp_path, "done", Console(file=io.StringIO())
    ) as run:
        run.begin_round(0)
        run.commit_round(0, {"metrics": {}, "counts": {}, "train": {}})
    assert main([verb, str(tmp_path / "done")]) == 2
    assert f"is a run of recipe={recipe}, which trains no attacker, critic, learner" in capsys.readouterr().err


def test_every_shipped_model_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "testbed-small", "--prompt", ASK]) == 0
    assert capsys.readouterr().out.strip()


def test_what_is_neither_run_nor_model_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "nowhere", "--prompt", ASK]) == 2
    assert capsys.readouterr().err.startswith("superalign: no run folder nowhere")
