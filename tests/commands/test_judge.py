"""`superalign judge`: refusals and judges against people's labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from superalign.commands.judge import half
from superalign.commands.main import main
from superalign.testbed import oracle
from superalign.testbed.corpus import Corpus
from superalign.testbed.world import REFUSALS, seeds


@pytest.fixture(autouse=True)
def _no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)


def written(folder: Path, rows: list[dict[str, Any]]) -> str:
    path = folder / "labels.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def figures(said: str) -> dict[str, list[str]]:
    """Cells by title of the lines that have a value."""
    lines = [line for line in said.splitlines()[1:] if line[:24].strip() and line[24:25] == " "]
    return {line[:24].strip(): line[24:].split() for line in lines}


def test_refusals_are_counted_against_labels_whole_and_by_halves_of_the_prompts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"prompt": f"question {i}", "response": REFUSALS[0] if i < 30 else "Sure. It is blue.", "refusal": said}
        for i in range(40)
        for said in ["refusal" if i < 20 or i >= 38 else "compliance"]
    ]
    assert main(["judge", "refusal", "--labels", written(tmp_path, rows), "--halves"]) == 0
    found = figures(capsys.readouterr().out)
    assert found["recall"][:2] == ["0.909", "22"] and found["false positives"][:2] == ["0.556", "18"]
    assert int(found["recall, half 0"][1]) + int(found["recall, half 1"][1]) == 22
    assert {half(f"question {i}") for i in range(40)} == {0, 1}


def test_a_model_as_judge_is_checked_against_verdicts_and_refused_below_the_floor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, rows = Corpus(5), []
    for number, s in enumerate([s for s in seeds(0, 300) if s.split == "eval"][:60]):
        request = oracle.parse(s.text)
        assert request is not None
        said = corpus.response(request, "full" if number % 2 else "refusal")
        rows.append({"prompt": s.text, "answer": said, "acceptable": oracle.acceptable(s.text, said)})
    path = written(tmp_path, rows)
    assert main(["judge", "check", "testbed", "--labels", path]) == 0
    told = capsys.readouterr().out
    found = figures(told)
    assert float(found["AUROC"][0]) > 0.7 and found["AUROC"][1] == "60"
    assert float(found["mass of verdict words"][0]) > 0.9
    assert "judge: frozen initial critic (a model: not ground truth); AUROC 0." in told
    assert main(["judge", "check", "testbed", "--labels", path, "--floor", "1"]) == 1
    assert "rates not reported: the judge is too weak, AUROC 0." in capsys.readouterr().out


def test_a_file_without_labels_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judge", "refusal", "--labels", written(tmp_path, [{"prompt": "a", "answer": "b"}])]) == 2
    assert (
        "no column for refused (looked for refused, refusal, complies, complied, compliance; it has prompt, answer)"
        in capsys.readouterr().err
    )


def test_a_judge_is_checked_on_whether_answers_comply_where_labels_tell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"prompt": f"question {i}", "answer": REFUSALS[0] if i % 2 else "Sure. It is blue.", "complies": i % 2 == 0}
        for i in range(60)
    ]
    assert main(["judge", "check", "testbed-small", "--labels", written(tmp_path, rows), "--judge", "refusal"]) == 0
    told = capsys.readouterr().out
    found = figures(told)
    assert "AUROC" not in found and found["complies: specificity"][:2] == ["1.000", "30"]
    assert "judge of compliance: refusals by their words" in told and "UNCHECKED" not in told
