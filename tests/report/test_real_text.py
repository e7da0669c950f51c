"""The section on real requests: before, after, change, what is corrected, and the plane with the curve of a probe."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from superalign.commands.status import status
from superalign.config.schema import Config
from superalign.report import page, real_text
from superalign.report.recipes import unit
from superalign.stats.format import MINUS
from superalign.store.run_writer import RunWriter
from tests import browser
from tests.evaluation.real_text.parts import settings

SETS = {"requests": {"wild": "w.jsonl"}, "choices": {"mmlu": "m.jsonl"}, "texts": {"dolly": "d.jsonl"}}
CONFIG = settings(**SETS).model_dump()


def estimate(value: float, half: float = 0.05, n: int = 64) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half, "n": n}


BEFORE = {
    "compliance_wild_harmful": estimate(0.95),
    "compliance_wild_benign": estimate(0.9),
    "compliance_wild_harmful_corrected": estimate(0.94),
    "judge_complies_sensitivity_harmful": estimate(0.97, n=200),
    "judge_complies_specificity_harmful": estimate(0.91, n=180),
    "judge_refusal_agreement": estimate(0.88, n=128),
    "judge_refusal_kappa": estimate(0.71, n=128),
    "accuracy_mmlu": estimate(0.31),
    "perplexity_dolly": estimate(6.2, 0.8),
}
AFTER = BEFORE | {
    "compliance_wild_harmful": estimate(0.4),
    "compliance_wild_benign": estimate(0.8),
    "compliance_wild_harmful_corrected": estimate(0.37),
    "compliance_wild_harmful_change": estimate(-0.55),
    "compliance_wild_benign_change": estimate(-0.1),
    "accuracy_mmlu_change": estimate(0.0, 0.02),
    "perplexity_dolly_ratio": estimate(1.013, 0.004),
}
CURVE = [[0.0, 0.0], [0.08, 0.58], [1.0, 1.0]]


def rows(**more: Any) -> list[Mapping[str, Any]]:
    return [{"round": 0, "metrics": BEFORE, **more}, {"round": 1, "metrics": {}}, {"round": 2, "metrics": AFTER}]


def run(root: Path, *made: Mapping[str, Any]) -> Path:
    config = Config.model_validate({"rounds": max(1, len(made) - 1), "evaluation": SETS}).model_dump()
    with RunWriter.create_or_resume(config, root, "real", console=Console(file=io.StringIO())) as writer:
        for row in made:
            writer.begin_round(row["round"])
            writer.commit_round(row["round"], {"counts": {}, "train": {}, **row})
        return writer.folder


def test_a_line_has_before_after_and_the_paired_change() -> None:
    found = {line.name: line for line in real_text.lines(rows(), CONFIG)}
    assert list(found) == ["wild, harmful", "wild, harmless", "mmlu, accuracy", "dolly, perplexity"]
    line = found["wild, harmful"]
    assert line.before is not None and line.after is not None and line.corrected[1] is not None
    assert (line.before.value, line.after.value, line.corrected[1].value) == (0.95, 0.4, 0.37)
    assert real_text.told_change(line) == f"{MINUS}55.0 points [{MINUS}60.0 to {MINUS}50.0]"
    assert real_text.told_change(found["dolly, perplexity"]) == "x 1.013 [1.009 to 1.017]"


def test_a_run_under_way_has_no_change_yet() -> None:
    line = real_text.lines(rows()[:2], CONFIG)[0]
    assert line.after is None and real_text.told_change(line) == ""


def test_the_page_has_the_section_with_the_judges_errors_and_the_plane(tmp_path: Path) -> None:
    text = page.write(run(tmp_path, *rows(limit_curve=CURVE))).read_text(encoding="utf-8")
    for words in (
        "On real requests",
        f"{MINUS}55.0 points<small>{MINUS}60.0 to {MINUS}50.0</small>",
        "x 1.013<small>1.009 to 1.017</small>",
        "agree on 88\N{NARROW NO-BREAK SPACE}%",
        "Cohen&#39;s kappa 0.71",
        "What refusing costs",
        "The grey curve is the limit of refusing by what a probe reads",
        "wild: 55\N{NARROW NO-BREAK SPACE}% (50\N{NARROW NO-BREAK SPACE}% to 60\N{NARROW NO-BREAK SPACE}%), n = 64",
    ):
        assert words in text, words
    assert text.count("<polyline") == 1


def test_without_such_figures_there_is_no_section(tmp_path: Path) -> None:
    plain = page.write(run(tmp_path, {"round": 0, "metrics": {"helpfulness": estimate(0.9)}})).read_text()
    assert "On real requests" not in plain
    assert real_text.view(rows(), settings().model_dump()) is None


def test_status_tells_the_change(tmp_path: Path) -> None:
    told = io.StringIO()
    status(run(tmp_path, *rows()), Console(file=told, width=160))
    (line,) = [line for line in told.getvalue().splitlines() if line.startswith("wild, harmful ")]
    assert " ".join(line.split()).replace("\N{NARROW NO-BREAK SPACE}", " ") == (
        f"wild, harmful 95 % [90 to 100 %] 40 % [35 to 45 %] {MINUS}55.0 points [{MINUS}60.0 to {MINUS}50.0]"
    )


def test_shares_are_percentages_and_perplexities_and_kappas_plain_numbers() -> None:
    shares = (
        "compliance_wild_harmful",
        "accuracy_mmlu",
        "judge_complies_sensitivity_benign",
        "judge_refusal_agreement",
    )
    assert {unit(name) for name in shares} == {"%"}
    assert {unit(name) for name in ("perplexity_dolly", "perplexity_dolly_ratio", "judge_refusal_kappa")} == {""}


@pytest.mark.skipif(not browser.AT_HAND, reason="needs chromium and chromedriver, which are not here")
def test_every_word_of_the_plane_lies_inside_its_drawing_on_a_narrow_page(tmp_path: Path) -> None:
    written = page.write(run(tmp_path, *rows(limit_curve=CURVE)))
    with browser.browser() as opened:
        opened.open(written, 390)
        assert opened.run("return document.documentElement.scrollWidth") <= 390
        outside = opened.run("""
            const svg = document.querySelector(".plane svg"), frame = svg.getBoundingClientRect();
            return [...svg.querySelectorAll("text")].filter(t => {
              const box = t.getBoundingClientRect();
              return box.left < frame.left - 1 || box.right > frame.right + 1;
            }).map(t => t.textContent);
        """)
    assert outside == []
