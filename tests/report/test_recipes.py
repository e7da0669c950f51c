"""The page of the smaller recipes, and what self-play's page tells of its guards."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from superalign.config.schema import Config
from superalign.report.page import write
from superalign.report.recipes import TILES
from superalign.store.run_writer import RunWriter
from tests import browser as chromium

sys.path.insert(0, str(Path(__file__).parent))
from fixture_run import HARMFUL_MARK, samples

in_a_browser = pytest.mark.skipif(not chromium.AT_HAND, reason="needs chromium and chromedriver, which are not here")
FIGURE = {"value": 0.421, "low": 0.35, "high": 0.5, "n": 96}
TABLE = {
    "title": "Harmful requests, by attack family",
    "columns": ["family", "success", "unique successes", "attacks"],
    "rows": [
        {"name": "attacker: prefix injection", "cells": [FIGURE, 12, 96]},
        {"name": "plain", "cells": [None, 0, 4]},
    ],
}
WHY = "unhelpfulness went from 0.130 to 0.957, worse by 0.826 [0.633, 0.972] on 23 items, allowed 0.01"


def made(root: Path, recipe: str, *, finish: bool = True, **row: Any) -> Path:
    """A run of one round with these rows, and its page."""
    config = Config.model_validate({"recipe": recipe, "rounds": 1}).model_dump()
    with RunWriter.create_or_resume(config, root, "small", console=Console(file=io.StringIO())) as run:
        for number in (0, 1):
            run.begin_round(number)
            metrics = {name: FIGURE for name, *_ in TILES.get(recipe, ())}
            common = {"metrics": metrics, "counts": {}, "train": {}, "judge": "testbed oracle (exact)"}
            run.commit_round(number, common | row, samples(number))
        if finish:
            facts = {name: row[name] for name in ("tables", "finding", "status", "stopped") if name in row}
            run.finish({}, versions={}, simulated_expert=recipe == "critic", judge=common["judge"], **facts)
    return write(run.folder)


@pytest.mark.parametrize("recipe", TILES)
@pytest.mark.parametrize("finish", [True, False])
def test_a_recipe_shows_its_finding_tiles_tables_and_covered_samples(tmp_path: Path, recipe: str, finish: bool) -> None:
    page = made(tmp_path, recipe, finish=finish, tables=[TABLE], finding="It holds.").read_text()
    assert "It holds." in page and "prefix injection" in page and HARMFUL_MARK not in page
    for _, title, _ in TILES[recipe]:
        assert title in page
    assert "42" in page and "35 to 50" in page and "n 96" in page
    assert ("under way" in page) != finish
    assert ("Simulated expert" in page) == (finish and recipe == "critic")


@pytest.mark.parametrize("recipe", ["critic", "reward_model"])
def test_a_tile_of_probabilities_squared_shows_plain_numbers_and_those_of_shares_percents(
    tmp_path: Path, recipe: str
) -> None:
    page = made(tmp_path, recipe).read_text()
    tiles = dict(re.findall(r"<h3>(.*?)</h3>(.*?)</table>", page, re.DOTALL))
    assert '<span class="now">0.42</span>' in tiles["Brier score"] and "0.35 to 0.50" in tiles["Brier score"]
    assert "%" not in tiles["Brier score"] and "42\N{NARROW NO-BREAK SPACE}%" in tiles["Accuracy"]


def test_probabilities_squared_are_shown_as_plain_numbers(tmp_path: Path) -> None:
    page = made(tmp_path, "critic", tables=[{**TABLE, "plain": True}], finding="").read_text()
    assert "0.421" in page and "0.350 to 0.500, n 96" in page


def test_guards_tell_what_they_took_back_and_why_a_run_stopped(tmp_path: Path) -> None:
    action = {"role": "learner", "action": "rolled back", "to_round": 0, "version": 2, "because": WHY}
    guards = {"checks": {"learner unhelpfulness": {}}, "actions": [action]}
    page = made(tmp_path / "a", "selfplay", guards=guards, status="stopped", stopped="the gap grew").read_text()
    assert WHY[1:] in page and "learner rolled back to round 0" in page and "Stopped by a guard" in page
    quiet = made(tmp_path / "b", "selfplay", guards={"checks": {"x": {}}, "actions": []}).read_text()
    assert "Every update was kept" in quiet and "Stopped by a guard" not in quiet
    assert "guards" not in made(tmp_path / "c", "selfplay").read_text().split('<h2 id="configuration"')[0].lower()


@in_a_browser
@pytest.mark.parametrize("width", [320, 1280])
def test_nothing_overflows_sideways(tmp_path: Path, width: int) -> None:
    action = {"role": "learner", "action": "rolled back", "to_round": 0, "version": 2, "because": WHY}
    guards = {"checks": {"learner unhelpfulness": {}}, "actions": [action]}
    pages = [
        made(tmp_path / "a", "selfplay", guards=guards),
        made(tmp_path / "b", "redteam", tables=[TABLE], finding="It."),
    ]
    with chromium.browser() as opened:
        for page in pages:
            opened.open(page, width)
            assert opened.run("return document.documentElement.scrollWidth") <= width
