"""`superalign generate`: talking to a role of a run, or to a bare model."""

from __future__ import annotations

import io
import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from rich.console import Console

from superalign.commands.main import main
from superalign.stats.format import number
from superalign.store.run_writer import RunWriter
from superalign.testbed import oracle
from superalign.testbed.corpus import Corpus
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


def test_a_run_answers_with_its_last_weights(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", str(run), "--prompt", ASK]) == 0
    assert capsys.readouterr().out.strip() == REFUSALS[0]


@pytest.mark.parametrize("given", [["--role", "attacker"], []])
def test_the_attacker_rewrites_the_request_and_names_its_tactic(
    given: list[str], run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = str(run) if given else f"{run}:attacker"
    assert main(["generate", target, *given, "--prompt", ASK]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert 1 <= len(lines) <= config().attacker.model_dump()["candidates"]
    for line in lines:
        tactic, _, query = line.partition("] ")
        assert re.fullmatch(r"\[[a-z_]+", tactic)
        assert query != ASK and oracle.parse(query) == oracle.parse(ASK)  # it still asks for the same


def test_where_no_rewriting_keeps_the_request_that_is_said_and_they_are_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["generate", "testbed", "--role", "attacker", "--prompt", "zeit quark? voll xylem!"]) == 0
    first, *others = capsys.readouterr().out.splitlines()
    if not first.startswith("["):
        assert "none of its rewritings keeps what the request asks" in first
        assert others and all(line.startswith("[") for line in others)


def test_the_critic_judges_an_answer_and_says_why(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judged = []
    for answer in (Corpus(0).response(REQUEST, "full"), REFUSALS[0]):
        assert main(["generate", str(run), "--role", "critic", "--prompt", ASK, "--answer", answer]) == 0
        probability, verdict, critique = capsys.readouterr().out.splitlines()
        share = re.fullmatch(r"probability +([\d.]+)\s% acceptable", probability)
        assert share and critique.startswith("critique     ") and len(critique.split()) > 2
        judged.append((float(share.group(1)), verdict.removeprefix("verdict      ").partition(",")[0]))
    (good, _), (bad, _) = judged
    assert good > bad + 20  # the request is harmless: help is right, a refusal wrong
    assert [word for _, word in judged] == ["acceptable" if p >= 50 else "not acceptable" for p, _ in judged]


def test_the_verdict_is_that_of_the_critic_of_the_loop(capsys: pytest.CaptureFixture[str]) -> None:
    from superalign.commands.target import open_target
    from superalign.roles.critic.registry import critic_class

    answer = REFUSALS[0]
    assert main(["generate", "testbed", "--role", "critic", "--prompt", ASK, "--answer", answer]) == 0
    said = capsys.readouterr().out
    settings, generator, _ = open_target("testbed")
    (p,) = critic_class(settings)(settings, generator, None).probabilities([(ASK, answer, "general")])
    assert number(p, "%") in said and "of a model that no label calibrated" in said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--role", "critic", "--prompt", "x"], "--role critic judges an answer: give --answer TEXT"),
        (["--role", "critic", "--answer", "x"], "--answer needs --prompt TEXT"),
        (["--prompt", "x", "--answer", "y"], "--answer is what --role critic judges; --role learner takes none"),
        (["--role", "attacker", "--answer", "y"], "--role attacker takes none"),
    ],
)
def test_an_answer_goes_with_the_critic_alone(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "testbed", *words]) == 2
    printed = capsys.readouterr()
    assert told in printed.err and printed.err.count("\n") == 1 and printed.out == ""


def test_two_roles_at_once_are_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", f"{run}:critic", "--role", "learner", "--prompt", "x"]) == 2
    assert "names the role critic, and --role learner another" in capsys.readouterr().err


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


def test_a_run_whose_settings_are_fewer_than_those_of_today_is_read_with_their_defaults(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = shutil.copytree(run, tmp_path / "old")
    settings = yaml.safe_load((old / "config.yaml").read_text())
    for section, key in (("run", "accept_changes"), ("learner", "revise"), ("evaluation", "refinement")):
        del settings[section][key]
    del settings["track"], settings["pinned"]
    (old / "config.yaml").write_text(yaml.safe_dump(settings))
    assert main(["generate", str(old), "--prompt", ASK]) == 0
    assert capsys.readouterr().out.strip() == REFUSALS[0]


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
