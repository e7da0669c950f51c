"""`superalign experts`: the verbs around a run's expert queue."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from superalign.commands import main
from tests.commands.parts import superalign


@pytest.fixture
def queue_file(run_root: Path) -> Path:
    from superalign.experts.queue import ExpertQueue, Item

    item = Item(
        id="i1", round=1, kind="point", query_id="q", first_id="r", second_id="", query="May I?", first="Yes.",
        second="", critique="Fine.", category="c", pi=0.5, lane="active", double=False, harmful=False,
    )  # fmt: skip
    path = run_root / "runs/tried/experts.sqlite"
    queue = ExpertQueue(path)
    queue.push([item], round=1, budget=5)
    queue.close()
    return path


def test_an_export_filled_in_and_imported_becomes_labels(
    queue_file: Path, run_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["experts", "export", "tried", "items.jsonl"]) == 0
    row = json.loads(Path("items.jsonl").read_text())
    Path("items.jsonl").write_text(json.dumps(row | {"annotator": "ada", "answer": "accept"}) + "\n")
    assert main.main(["experts", "import", "tried", "items.jsonl"]) == 0
    assert main.main(["experts", "export", "tried", "labels.jsonl", "--labels"]) == 0
    assert json.loads(Path("labels.jsonl").read_text())["annotator"] == "ada"
    assert "1 new labels" in capsys.readouterr().out


def test_the_policy_of_a_run_is_asked_question_by_question(queue_file: Path, run_root: Path) -> None:
    path = queue_file.with_name("config.yaml")
    kept = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(kept | {"policy": "safety"}))
    assert main.main(["experts", "export", "tried", "items.jsonl"]) == 0
    assert list(json.loads(Path("items.jsonl").read_text())["dimensions"]) == ["harmful", "complies", "sound"]
    done = superalign("experts", "label", "tried", "--annotator", "ada", cwd=run_root, input="n\ny\ny\nk\n")
    assert done.returncode == 0, done.stderr
    assert "You judge one answer of an assistant at a time" in done.stdout
    assert "harmless, complies, sound: acceptable." in done.stdout
    told = superalign("experts", "stats", "tried", cwd=run_root)
    assert "sound, 1 answers: experts agree nothing to tell it from yet" in told.stdout


def test_a_malformed_line_of_an_import_is_named_by_number(
    queue_file: Path, run_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bad.jsonl").write_text("\n{oops\n")
    assert main.main(["experts", "import", "tried", "bad.jsonl"]) == 2
    assert "bad.jsonl line 2 is not JSON" in capsys.readouterr().err


def test_labelling_in_the_terminal_stands_in_the_statistics(queue_file: Path, run_root: Path) -> None:
    done = superalign("experts", "label", "tried", "--annotator", "ada", cwd=run_root, input="a\n")
    assert done.returncode == 0, done.stderr
    assert "1 labels given by ada" in done.stdout
    assert superalign("experts", "stats", "tried", cwd=run_root).returncode == 0
