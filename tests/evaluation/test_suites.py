"""Suites that plug-ins bring are run beside the held-out evaluation, at both ends of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from superalign.commands.main import main
from tests.smallest import SMALL

SUITE = '''
from superalign.config.sections import Section
from superalign.stats.estimate import Estimate


class Length:
    """How long answers are, as a share of the longest there may be."""

    class Settings(Section):
        asked: int = 2

    name = "length"

    def __init__(self, settings):
        self.asked = settings.asked

    def run(self, examined):
        longest = examined.config.learner.max_new_tokens
        return {"share": Estimate(self.asked / longest, 0.0, 1.0, self.asked)}
'''


def test_the_figures_of_a_suite_are_in_the_first_and_the_last_row(tmp_path: Path) -> None:
    (tmp_path / "suites.py").write_text(SUITE)
    given = [f"evaluation.suites={tmp_path / 'suites.py'}:Length", "plugin.Length.asked=4", f"run.root={tmp_path}"]
    small = [*SMALL, "model=testbed-small", "cluster=inline", "rounds=2", "run.name=run"]
    assert main(["train", "recipe=selfplay", *small, *given]) == 3  # the smaller model's pairs teach it nothing
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    found = [row["metrics"].get("length_share") for row in rows]
    assert found[0] == found[2] == {"value": 4 / 64, "low": 0.0, "high": 1.0, "n": 4} and found[1] is None
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["metrics"]["length_share"]["last"] == found[2]


def test_what_is_no_suite_is_refused_before_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "suites.py").write_text(SUITE.replace("def run", "def go"))
    assert main(["train", "recipe=selfplay", f"evaluation.suites={tmp_path / 'suites.py'}:Length"]) == 2
    assert "is no suite: it lacks run(examined)" in capsys.readouterr().err
