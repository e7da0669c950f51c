"""A run as text."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from superalign.commands import inspect
from superalign.config.schema import Config
from superalign.errors import UserError
from superalign.records import Critique, Judgement, Query, Response
from superalign.roles.critic.critiques import critique_of
from superalign.store.run_writer import RunWriter
from superalign.store.tables import write_records
from tests.roles.parts import point, query, response

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from fixture_run import HARMFUL_MARK, write_fixture


class Screen:
    """A terminal 140 columns wide that remembers."""

    def __init__(self) -> None:
        self._out = io.StringIO()
        self.console = Console(file=self._out, width=140)

    @property
    def text(self) -> str:
        return self._out.getvalue()


@pytest.fixture
def screen() -> Screen:
    """A fresh terminal."""
    return Screen()


def test_status_of_a_complete_run_shows_its_figures(tmp_path: Path, screen: Screen) -> None:
    inspect.status(write_fixture(tmp_path), screen.console)
    assert "round 6 of 6, complete" in screen.text
    assert "1.0 to 5.0" in screen.text


def test_status_tells_a_stopped_run_from_a_running_one(tmp_path: Path, screen: Screen) -> None:
    folder = write_fixture(tmp_path, stop_after=2)
    inspect.status(folder, screen.console)
    assert "round 2 of 6, stopped; superalign train run.name=selfplay-1" in screen.text
    config = Config(rounds=6, seed=1).model_dump()
    with RunWriter.create_or_resume(config, tmp_path, "selfplay-1", console=Console(file=io.StringIO())) as run:
        run.event("actor_lost", actor="critic")
        run.begin_round(3)
        with run.stage("critique"):
            inspect.status(folder, screen.console)
    assert "running as process" in screen.text
    assert "round 3: critique" in screen.text
    assert "actors lost and replaced so far: 1" in screen.text


def test_samples_stay_covered_until_revealed(tmp_path: Path, screen: Screen) -> None:
    folder = write_fixture(tmp_path, stop_after=1)
    inspect.samples(folder, screen.console, limit=2)
    assert HARMFUL_MARK not in screen.text
    assert "[redacted: 17 words]" in screen.text and "--reveal" in screen.text
    inspect.samples(folder, screen.console, reveal=True, limit=1)
    assert HARMFUL_MARK in screen.text


def small_run(root: Path, recipe: str, rounds: int) -> Path:
    settings = Config.model_validate({"recipe": recipe, "rounds": 1}).model_dump()
    with RunWriter.create_or_resume(settings, root, "small", console=Console(file=io.StringIO())) as run:
        for number in range(rounds):
            (run.begin_round(number) / "scores.parquet").write_bytes(b"")
            run.commit_round(number, {"metrics": {}, "counts": {}, "train": {}})
        return run.folder


def test_a_recipe_that_keeps_no_samples_is_not_said_to_have_none_yet(tmp_path: Path, screen: Screen) -> None:
    inspect.samples(small_run(tmp_path, "weak_to_strong", rounds=2), screen.console)
    told = " ".join(screen.text.split())
    assert "has no samples: recipe=weak_to_strong keeps none; its records are in" in told
    assert told.endswith("/*/: scores.parquet") and "yet" not in told


def test_before_the_first_round_there_are_none_yet(tmp_path: Path, screen: Screen) -> None:
    inspect.samples(small_run(tmp_path, "selfplay", rounds=0), screen.console)
    assert screen.text.strip().endswith("yet")


def test_samples_of_a_recipe_that_keeps_records_alone_are_what_its_critic_criticised(
    tmp_path: Path, screen: Screen
) -> None:
    folder = small_run(tmp_path, "critic", rounds=1)
    asked = query("how do i build a kite?")
    answers = [response(asked, text) for text in ("first nail the boards", "then paint it")]
    said = [critique_of(answers[0], 'no. "nail" is wrong.', 0)]
    for name, kind, records in (
        ("queries", Query, [asked]),
        ("responses", Response, answers),
        ("critiques", Critique, said),
        ("judgements", Judgement, [point(answers[0], 0.2), point(answers[1], 0.9)]),
    ):
        write_records(folder / "rounds" / "0000", name, kind, records)
    inspect.samples(folder, screen.console, reveal=True)
    assert "critic 20" in screen.text and "criticised in the round" in screen.text
    assert '"nail" is wrong.' in screen.text and "first nail the boards" in screen.text
    assert "then paint it" not in screen.text


def test_asking_for_no_samples_is_refused(tmp_path: Path, screen: Screen) -> None:
    with pytest.raises(UserError, match="at least 1"):
        inspect.samples(tmp_path, screen.console, limit=0)


def test_a_model_cannot_take_over_the_terminal() -> None:
    assert inspect.printable("a\x1b[2Jb\n\tc") == "a\N{REPLACEMENT CHARACTER}[2Jb\n\tc"


def test_logs_show_one_actor_or_all_and_name_those_that_exist(tmp_path: Path, screen: Screen) -> None:
    folder = write_fixture(tmp_path, stop_after=0)
    (folder / "logs" / "critic.log").write_text("critic says hello\n")
    inspect.logs(folder, screen.console, actor="critic")
    assert screen.text == "critic says hello\n"
    inspect.logs(folder, screen.console)
    assert "── driver.log" in screen.text
    with pytest.raises(UserError, match=r"no log of 'learner' .* there are: critic, driver"):
        inspect.logs(folder, screen.console, actor="learner")


def test_following_a_log_gives_whole_lines_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "critic.log"
    path.write_text("old\n")
    lines = inspect.new_lines([path])
    fresh = iter(["one\ntw", "o\n"])

    def write_next(_: float) -> None:
        with open(path, "a") as handle:
            handle.write(next(fresh))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inspect.time, "sleep", write_next)
        assert [next(lines), next(lines)] == [(path, "one"), (path, "two")]
