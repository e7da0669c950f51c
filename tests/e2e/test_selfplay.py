"""The main job at its smallest: real roles, real TRL training, a real queue."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from superalign.commands.main import main
from superalign.experts.queue import ExpertQueue
from superalign.report.figures import UNCORRECTED
from superalign.store.run_writer import RunWriter
from tests.smallest import SMALL, SMALLER


def train(root: Path, name: str, *more: str) -> int:
    return main(["train", "recipe=selfplay", f"run.root={root}", f"run.name={name}", *SMALL, *more])


def run_metrics(run: Path) -> dict[str, dict[str, dict[str, float]]]:
    """The figures of the summary that have a first and a last value."""
    metrics = json.loads((run / "summary.json").read_text())["metrics"]
    return {name: found for name, found in metrics.items() if "last" in found}


def adapters(run: Path, number: int) -> dict[str, bytes]:
    folder = run / "rounds" / f"{number:04d}" / "adapters"
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.safetensors"))}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run of two rounds in one process."""
    root = tmp_path_factory.mktemp("runs")
    assert train(root, "whole", "cluster=inline", "rounds=2") == 0
    return root / "whole"


def test_a_run_completes_and_keeps_the_contract_of_its_summary(whole: Path) -> None:
    summary = json.loads((whole / "summary.json").read_text())
    assert summary["status"] == "complete" and summary["simulated_expert"] is True
    for name in ("attack_success_rate", "attack_success_rate_heldout_families", "over_refusal_rate", "helpfulness"):
        for when in ("first", "last"):
            figure = summary["metrics"][name][when]
            assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1 and figure["n"] > 0
    assert 0 < summary["metrics"]["expert_labels"]["used"] <= summary["metrics"]["expert_labels"]["budget"] == 24
    stages = summary["timing"]["stages"]
    assert sum(stages.values()) == pytest.approx(summary["timing"]["total_s"], rel=1e-6)
    assert (whole / "report.html").is_file()


def test_a_resumed_run_ends_with_the_same_bits_as_an_uninterrupted_one(whole: Path, tmp_path: Path) -> None:
    assert train(tmp_path, "halves", "cluster=inline", "rounds=1") == 0
    assert train(tmp_path, "halves", "cluster=inline", "rounds=2") == 0
    assert adapters(whole, 2) == adapters(tmp_path / "halves", 2)


def test_a_judge_that_can_err_is_held_against_the_experts_labels_at_the_end(tmp_path: Path) -> None:
    given = (*SMALLER, "cluster=inline", "rounds=1", "evaluation.judge=frozen_critic")
    assert train(tmp_path, "opinion", *given) == 0
    with closing(ExpertQueue.of_run(tmp_path / "opinion" / "experts.sqlite", None)) as queue:
        harmful = {item.id for item in queue.items() if item.harmful}
        told = [x for x in queue.labels() if x.kind == "point" and x.value != 0.5 and x.item_id in harmful]
    before, after = (json.loads(line) for line in (tmp_path / "opinion" / "metrics.jsonl").read_text().splitlines())
    held = [after["metrics"][name] for name in ("judge_sensitivity", "judge_specificity") if name in after["metrics"]]
    assert sum(figure["n"] for figure in held) == len(told) > 0
    assert not [name for name in before["metrics"] if name.startswith("judge_")]
    assert UNCORRECTED in (tmp_path / "opinion" / "report.html").read_text()


@pytest.mark.slow
def test_roles_as_ray_actors_that_ask_ahead_are_one_update_stale_and_resume_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = RunWriter.commit_round

    def commit_and_copy(run: RunWriter, number: int, *args: Any) -> dict[str, Any]:
        row = commit(run, number, *args)
        if number == 1:
            shutil.copytree(run.folder, tmp_path / "killed")  # what a driver leaves that is killed just then
        return row

    ahead = (*SMALLER, "cluster=laptop", "async.max_staleness=1")
    with monkeypatch.context() as watched:
        watched.setattr(RunWriter, "commit_round", commit_and_copy)
        assert train(tmp_path, "ahead", *ahead, "rounds=2") == 0
    assert not (tmp_path / "killed" / "rounds" / "0002").exists()
    assert train(tmp_path, "alone", *SMALLER, "cluster=inline", "rounds=1") == 0
    assert adapters(tmp_path / "ahead", 1) == adapters(tmp_path / "alone", 1)  # nothing is stale yet
    rows = [json.loads(line) for line in (tmp_path / "ahead" / "metrics.jsonl").read_text().splitlines()]
    generators = [row["train"]["generator"] for row in rows[1:]]
    assert [g["staleness"] for g in generators] == [0, 1]
    assert generators[0]["mismatch_kl"] < 1e-9 < min(g["drift_kl"] for g in generators[1:])
    assert all(0 < row["idle"][side] < 1 for row in rows[1:] for side in ("generator", "trainer"))
    assert "the trainer was idle" in (tmp_path / "ahead" / "report.html").read_text()
    assert train(tmp_path, "killed", *ahead, "rounds=2") == 0
    assert adapters(tmp_path / "ahead", 2) == adapters(tmp_path / "killed", 2)


def test_a_complete_run_says_so_and_does_nothing(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (whole / "summary.json").read_bytes()
    assert train(whole.parent, "whole", "cluster=inline", "rounds=2") == 0
    assert "nothing to do" in capsys.readouterr().err
    assert (whole / "summary.json").read_bytes() == before


PLAIN = """
import json, sys
from datasets import load_dataset
from peft import PeftModel
from transformers import AutoModelForCausalLM
run = sys.argv[1]
folder = f"{run}/rounds/0002/adapters/learner"
base = json.load(open(f"{folder}/adapter_config.json"))["base_model_name_or_path"]
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder)
moved = max(p.abs().max().item() for n, p in model.named_parameters() if "lora_B" in n)
rows = load_dataset("parquet", data_files=f"{run}/rounds/000[12]/preferences.parquet", split="train")
assert not any(name.startswith("superalign") for name in sys.modules)
print(json.dumps({"moved": moved, "rows": len(rows), "columns": rows.column_names}))
"""


def test_adapters_and_preferences_load_with_plain_peft_and_datasets(whole: Path, tmp_path: Path) -> None:
    environment = os.environ | {"HF_DATASETS_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", PLAIN, str(whole)]
    shown = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    found = json.loads(shown.splitlines()[-1])
    counts = [json.loads(line)["counts"] for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert found["moved"] > 0
    assert found["rows"] == sum(count["preferences"] for count in counts) > 0
    assert {"prompt", "chosen", "rejected", "q", "w", "source"} <= set(found["columns"])


def test_exported_data_are_the_preferences_and_the_labels_with_their_texts(whole: Path, tmp_path: Path) -> None:
    assert main(["export", str(whole), "--data", "--to", str(tmp_path / "out")]) == 0
    counts = [json.loads(line)["counts"] for line in (whole / "metrics.jsonl").read_text().splitlines()]
    preferences, labels = (
        pq.read_table(tmp_path / "out" / "data" / f"{name}.parquet").to_pylist() for name in ("preferences", "labels")
    )
    assert len(preferences) == sum(count["preferences"] for count in counts) > 0
    assert all(row["prompt"][-1]["role"] == "user" and row["chosen"] != row["rejected"] for row in preferences)
    assert labels and all(row["query"] and row["first"] for row in labels)
    assert all(bool(row["second"]) == (row["kind"] == "pair") for row in labels)
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"`preferences`, {len(preferences):,} rows" in card and "Experts were simulated" in card


@pytest.mark.parametrize("kind", ["generative", "classifier"])
def test_an_evaluation_of_the_run_gives_the_figures_of_its_last_round(kind: str, whole: Path, tmp_path: Path) -> None:
    run = whole if kind == "generative" else tmp_path / kind
    if run != whole:
        assert train(tmp_path, kind, "cluster=inline", "rounds=1", f"critic={kind}") in (0, 3)
    assert main(["eval", str(run), "--output", str(tmp_path / "eval.json")]) == 0
    figures = json.loads((tmp_path / "eval.json").read_text())["figures"]
    metrics = run_metrics(run)
    shown = {each["name"]: each["value"] for each in figures if each["name"] in metrics}
    last = {name: metrics[name]["last"]["value"] for name in shown}
    assert len(last) >= 7 and {"critic_accuracy", "critic_ece"} <= set(last)
    assert shown == pytest.approx(last, abs=6e-4)


def test_without_experts_a_run_completes_and_asks_nobody(tmp_path: Path) -> None:
    assert train(tmp_path, "alone", "cluster=inline", "rounds=1", "expert.budget=0") == 0
    summary = json.loads((tmp_path / "alone" / "summary.json").read_text())
    assert summary["metrics"]["expert_labels"] == {"used": 0, "budget": 0}
    assert summary["simulated_expert"] is False


def test_somebody_elses_model_and_prompts_take_the_same_path(
    tmp_path: Path, stories: str, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = Path(stories).parents[1] / "data" / "xstest_prompts.jsonl"
    if not prompts.is_file():
        pytest.skip(f"{prompts} is not here")
    given = [f"model={stories}", f"data.seeds={prompts}", "data.columns.text=prompt", "data.columns.kind=label"]
    assert train(tmp_path, "theirs", "cluster=inline", "rounds=1", *given) == 2
    assert "expert.source=queue" in capsys.readouterr().err
    # It is no chat model, and nobody has answered yet: nothing is learned, which the exit status says.
    assert train(tmp_path, "theirs", "cluster=inline", "rounds=1", "expert.source=queue", *given) == 3
    summary = json.loads((tmp_path / "theirs" / "summary.json").read_text())
    assert summary["nothing_learned"].startswith("The learner learned nothing: ")
    assert "not ground truth" in summary["judge"]
    assert "frozen initial critic" in (tmp_path / "theirs" / "report.html").read_text()
    assert main(["experts", "stats", str(tmp_path / "theirs")]) == 0
    assert "round 1: 0 of 12 labels given" in capsys.readouterr().out


def test_under_weak_to_strong_supervision_the_learner_takes_another_step_from_the_same_labels(
    whole: Path, tmp_path: Path
) -> None:
    given = ("cluster=inline", "rounds=1", "supervision=weak_to_strong")
    assert train(tmp_path, "confident", *given) == 0
    mine, theirs = adapters(tmp_path / "confident", 1), adapters(whole, 1)
    moved = {name.split("/")[0] for name in mine if mine[name] != theirs[name]}
    assert moved == {"learner"}


def test_losses_that_read_no_label_refuse_weak_to_strong_supervision(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path, "refused", "supervision=weak_to_strong", "learner.loss=dpo") == 2
    assert "learner.loss=dpo does not read" in capsys.readouterr().err
    assert not (tmp_path / "refused").exists()
