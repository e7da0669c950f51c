"""Weak to strong from the command line: the contract of a run, its resumption, and every mistake in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from superalign.commands.main import main
from superalign.report.cells import estimate_of, one_decimal

SMALL = ("data.limit=240", "w2s.seeds=2", "w2s.bootstrap=50", "cluster.threads=1")
DIGITS = ("task=digits", "weak=pixels:2", "strong=centroids:60")
BOTH = ("task=digits,safety", "data.limit=360", "method=naive,confidence")


def train(root: Path, name: str, *more: str) -> int:
    given = [*SMALL, *more]
    where = [] if any(word.startswith("cluster=") for word in given) else ["cluster=inline"]
    return main(["train", "recipe=weak_to_strong", f"run.root={root}", f"run.name={name}", *where, *given])


def scores(run: Path) -> list[dict[str, Any]]:
    """The contents of scores.parquet of every split, and what trials.json tells besides times."""
    found = []
    for folder in sorted((run / "rounds").iterdir()):
        told = json.loads((folder / "trials.json").read_text())
        rows = pq.read_table(folder / "scores.parquet").to_pydict()
        found.append({"rows": rows, "trials": [{k: v for k, v in one.items() if k != "seconds"} for one in told]})
    return found


def cached(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (root / ".cache").rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run of two splits over images and texts in one process."""
    root = tmp_path_factory.mktemp("runs")
    assert train(root, "whole", *BOTH) == 0
    return root / "whole"


def test_a_run_completes_and_keeps_the_contract_of_its_summary(whole: Path) -> None:
    summary = json.loads((whole / "summary.json").read_text())
    assert (summary["recipe"], summary["status"], summary["seed"]) == ("weak_to_strong", "complete", 0)
    assert summary["simulated_expert"] is False and "ground truth" in summary["judge"]
    assert set(summary["metrics"]) == {"pgr", "weak", "strong_ceiling", "weak_to_strong"}
    for name, figure in summary["metrics"].items():
        assert {"value", "low", "high", "n"} <= set(figure) and figure["n"] > 0
        if name != "pgr":
            assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1
    cells = [(cell["task"], cell["method"]) for cell in summary["results"]]
    assert cells == [(task, method) for task in ("digits", "safety") for method in ("naive", "confidence")]
    assert summary["metrics"]["weak"] == summary["results"][0]["weak_performance"]
    assert all(cell["seeds"] == 2 for cell in summary["results"])
    stages = summary["timing"]["stages"]
    assert sum(stages.values()) == pytest.approx(summary["timing"]["total_s"], rel=1e-6)


def test_a_run_leaves_its_report_its_metrics_and_its_rows(whole: Path) -> None:
    page = (whole / "report.html").read_text()
    for cell in json.loads((whole / "summary.json").read_text())["results"]:
        student = estimate_of(cell, "weak_to_strong")
        assert student and f"<td>{one_decimal(student)}<small>" in page and f"n {student.n}</span>" in page
    lines = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert [line["round"] for line in lines] == [0, 1]
    for split in scores(whole):
        assert {"digits", "safety"} == set(split["rows"]["task"])
        assert {"test", "attacked"} == set(split["rows"]["part"])


def test_a_run_resumed_by_another_process_ends_with_the_same_scores_as_an_uninterrupted_one(
    whole: Path, tmp_path: Path
) -> None:
    assert train(tmp_path, "halves", *BOTH, "w2s.seeds=1") == 0
    assert len(scores(tmp_path / "halves")) == 1
    resume = ["train", "recipe=weak_to_strong", f"run.root={tmp_path}", "run.name=halves", "cluster=inline"]
    subprocess.run(
        [sys.executable, "-m", "superalign.commands.main", *resume, *SMALL, *BOTH], check=True, capture_output=True
    )
    assert scores(tmp_path / "halves") == scores(whole)
    summaries = [json.loads((run / "summary.json").read_text()) for run in (tmp_path / "halves", whole)]
    assert summaries[0]["metrics"] == summaries[1]["metrics"]


def test_workers_as_ray_actors_give_the_same_scores_as_one_process(whole: Path, tmp_path: Path) -> None:
    assert train(tmp_path, "actors", *BOTH, "cluster=laptop", "cluster.threads=2") == 0
    assert scores(tmp_path / "actors") == scores(whole)


def test_a_complete_run_says_so_and_does_nothing(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (whole / "summary.json").read_bytes()
    assert train(whole.parent, "whole", *BOTH) == 0
    assert "nothing to do" in capsys.readouterr().err
    assert (whole / "summary.json").read_bytes() == before


def test_a_second_run_trains_no_supervisor_and_no_ceiling_again(whole: Path) -> None:
    before = cached(whole.parent)
    assert any(path.parent.name == "ceiling" for path in before)
    assert train(whole.parent, "again", *BOTH) == 0
    assert cached(whole.parent) == before
    assert scores(whole.parent / "again") == scores(whole)


def test_what_was_named_twice_is_done_once(tmp_path: Path) -> None:
    assert train(tmp_path, "twice", *DIGITS, "method=naive,naive", "w2s.seeds=1", "w2s.supervisor=weak,weak") == 0
    (cell,) = json.loads((tmp_path / "twice" / "summary.json").read_text())["results"]
    assert cell["seeds"] == 1


def test_a_strong_model_that_is_worse_completes_and_is_said_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path, "worse", "task=digits", "weak=pixels:8", "strong=pixels:1", "method=naive") == 0
    metrics = json.loads((tmp_path / "worse" / "summary.json").read_text())["metrics"]
    assert metrics["pgr"]["value"] is None
    assert metrics["pgr"]["reason"].startswith("the strong model is worse than the weak one")
    assert metrics["weak_to_strong"]["value"] is not None
    assert "the strong model is worse" in " ".join(capsys.readouterr().err.split())
    assert "the strong model is worse" in (tmp_path / "worse" / "report.html").read_text()


def write(path: Path, rows: list[dict[str, Any]] | str) -> str:
    text = rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(text)
    return str(path)


def answers(n: int = 120, **more: Any) -> list[dict[str, Any]]:
    """Rows of task=safety: harmless words whose label a bag of words can learn."""
    words = ("tea", "cake", "soup", "bread", "rice")
    return [
        {
            "prompt": f"how to make {words[i % 5]} {i}",
            "response": f"{'stir' if i % 2 else 'boil'} the {words[i % 5]} for {i} minutes",
            "label": i % 2,
            **more,
        }
        for i in range(n)
    ]


FROM_FILE = ("task=safety", "weak=words:3", "strong=words:20", "method=naive", "w2s.seeds=1")


def test_a_file_of_ones_own_takes_the_same_path(tmp_path: Path) -> None:
    source = write(tmp_path / "rows.jsonl", answers())
    assert train(tmp_path, "own", *FROM_FILE, f"data={source}") == 0
    (cell,) = json.loads((tmp_path / "own" / "summary.json").read_text())["results"]
    assert (cell["task"], cell["weak"], cell["strong"]) == ("safety", "words:3", "words:20")


def refused(root: Path, capsys: pytest.CaptureFixture[str], *given: str) -> str:
    """The one line that a mistake is told in, before any run folder is made."""
    capsys.readouterr()
    assert train(root, "bad", *given) == 2
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err + captured.out
    (line,) = captured.err.strip().splitlines()
    assert line.startswith("superalign: ")
    assert not (root / "bad").exists(), "the mistake could be known before the run folder was made"
    return line


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([*DIGITS, "task=digts"], "unknown task 'digts'; did you mean digits?"),
        ([*DIGITS, "method=naiv"], "unknown method 'naiv'; did you mean naive?"),
        ([*DIGITS, "w2s.supervisor=longst"], "unknown w2s.supervisor 'longst'; did you mean longest?"),
        ([*DIGITS, "w2s.labels=filtr:0.5"], "no transform 'filtr'; did you mean filter?"),
        ([*DIGITS, "w2s.labels=filter:3"], "'filter:3' has a wrong argument"),
        ([*DIGITS, "strong=centroid:60"], "unknown model 'centroid:60'; did you mean centroids?"),
        ([*DIGITS, "strong=centroids"], "unknown model 'centroids'"),
        ([*DIGITS, "strong=centroids:300"], "240 rows have no 300 clusters"),
        ([*DIGITS, "weak=pixels:3"], "pixels:3: vectors of 64 numbers are no square images"),
        ([*DIGITS, "strong=probe:testbed"], "probe:testbed reads texts and this task's rows are vectors"),
        ([*DIGITS, "strong=full:testbed"], "full:testbed reads texts and the task's rows are vectors"),
        (["task=safety", "weak=pixels:4"], "pixels:4 reads vectors and the task's rows are texts"),
        (["task=safety", "strong=probe:testbed@9"], "testbed has layers 0 (embeddings) to"),
        (["task=safety", "strong=lora:/no/such"], "there is no folder /no/such"),
        (["task=digits", "method=dpo"], "method=dpo suits none of the tasks given: it is for pairs"),
        (["task=refusal", "method=confidence"], "method=confidence suits none of the tasks given"),
        ([*DIGITS, "method=critic"], "critic reads texts and the rows of task=digits are vectors"),
        ([*DIGITS, "method=debate"], "debate reads texts and the rows of task=digits are vectors"),
        (["task=pairs", "method=naive", "w2s.labels=debate"], "debate is for tasks of kind classify: task=pairs is"),
        (["task=refusal", "method=naive", "w2s.labels=reweight"], "reweight is for tasks of kind classify or pairs"),
        (["task=refusal", "method=naive", "w2s.supervisor=random"], "w2s.supervisor=random flips classes"),
        (["task=pairs", "method=naive", "w2s.supervisor=imitable"], "w2s.supervisor=imitable appends a class"),
        (["task=refusal", "method=naive", "strong=words:60"], "language model, which words:60 is not"),
        (["task=pairs", "method=dpo", "strong=words:60"], "method=dpo trains an adapter of a language model"),
        (["task=pairs", "method=wspo", "weak=words:60"], "method=wspo trains an adapter of a language model"),
        (["task=refusal", "method=bootstrap"], "method=bootstrap has no models between for task=refusal"),
        ([*DIGITS, "method=bootstrap", "w2s.via=centroids:999"], "240 rows have no 999 clusters"),
        (["task=digits,safety", "data=rows.jsonl"], "data=rows.jsonl is read by one task"),
        (["task=digits", "data=rows.jsonl"], "task digits has its own images"),
        (["task=safety", "data=/no/such.jsonl"], "data.source=/no/such.jsonl: no such file"),
        (["task=safety", "data=rows.doc"], "should be testbed, hub:NAME, a folder, or a file ending in .jsonl"),
        ([*DIGITS, "data.limit=30"], "data.limit=30: a task needs at least 40 rows"),
        ([*DIGITS, "data.limit=40", "strong=pixels:4"], "at least 12 are needed"),
        ([*DIGITS, "w2s.seeds=0"], "w2s.seeds=0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_in_the_settings_is_one_line_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str], told: str
) -> None:
    assert told in refused(tmp_path, capsys, *given)


def labelled(**changes: Any) -> list[dict[str, Any]]:
    """Rows of which the eighth is changed."""
    rows = answers()
    rows[7] |= changes
    return rows


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("".join(json.dumps(row) + "\n" for row in answers(6)) + '{"prompt": \n', "rows.jsonl line 7 is not JSON"),
        (answers(label=1), "every row is of class 'unsafe'"),
        (labelled(label=float("nan")), "rows.jsonl line 8: column 'label' is empty"),
        (labelled(label="perhaps"), "rows.jsonl line 8: label 'perhaps' is unknown"),
        (labelled(prompt=None), "rows.jsonl line 8: column 'prompt' is empty"),
        (answers(20), "task safety has 20 rows that differ: at least 40 are needed"),
        ("", "at least 40 are needed"),
        (answers(prompt="how to make tea"), "groups: 1 over 120 rows"),
        ([{"text": "tea", "label": 0}], "no column 'prompt' for prompt; set data.columns.prompt="),
    ],
    ids=["cut line", "one class", "NaN", "unknown label", "no prompt", "too few", "empty", "one group", "no column"],
)
def test_a_mistake_in_a_file_is_one_line_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: list[dict[str, Any]] | str, told: str
) -> None:
    source = write(tmp_path / "rows.jsonl", rows)
    assert told in refused(tmp_path, capsys, *FROM_FILE, f"data={source}")


@pytest.fixture
def huge(tmp_path: Path) -> str:
    """The folder of a model that is too large for any machine; its weights are not even there in full."""
    folder = tmp_path / "huge"
    folder.mkdir()
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 65536,
        "intermediate_size": 262144,
        "num_hidden_layers": 40,
        "num_attention_heads": 64,
        "num_key_value_heads": 64,
        "vocab_size": 320,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"")
    return str(folder)


@pytest.mark.parametrize("kind", ["full", "lora", "probe"])
def test_a_student_larger_than_the_memory_is_refused_before_it_is_loaded(
    tmp_path: Path, huge: str, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    line = refused(tmp_path, capsys, "task=safety", "method=naive", f"strong={kind}:{huge}")
    assert f"strong={kind}:{huge} needs about" in line and "smaller model" in line


def test_a_policy_larger_than_the_memory_is_refused_before_it_is_loaded(
    tmp_path: Path, huge: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(tmp_path, capsys, "task=refusal", "method=naive", f"strong=lora:{huge}")
    assert "needs about" in line


@pytest.mark.parametrize("cluster", ["inline", "laptop"])
def test_what_shows_only_in_training_is_one_line_too_and_the_run_can_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], cluster: str
) -> None:
    # A rate this high makes the loss infinite or not, which nobody knows before.
    given = (*DIGITS, "method=naive", f"cluster={cluster}")
    assert train(tmp_path, "stopped", *given, "w2s.learning_rate=1e38") == 2
    captured = capsys.readouterr()
    line = captured.err.strip().splitlines()[-1]
    assert line.startswith("superalign: the loss is ") and "lower learning_rate" in line
    assert "Traceback" not in captured.err
    assert train(tmp_path, "stopped", *given) == 0
    assert json.loads((tmp_path / "stopped" / "summary.json").read_text())["status"] == "complete"
