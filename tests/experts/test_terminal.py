"""The terminal: keys in, labels out, harmful text hidden until asked for."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from superalign.experts.queue import ExpertQueue
from superalign.experts.terminal import clean, label, read_key
from tests.experts.test_queue import item, pair


def keys(text: str) -> Callable[[], str]:
    stream: Iterator[str] = iter(text)

    def press() -> str:
        try:
            return next(stream)
        except StopIteration:
            raise EOFError from None

    return press


def session(queue: ExpertQueue, text: str, who: str = "ann") -> str:
    out = io.StringIO()
    label(queue, who, Console(file=out, width=100), keys(text))
    return out.getvalue()


@pytest.fixture
def queue(tmp_path: Path) -> ExpertQueue:
    return ExpertQueue(tmp_path / "q.sqlite")


def values(queue: ExpertQueue) -> list[float]:
    return [found.value for found in queue.labels()]


def test_one_key_answers_one_item(queue: ExpertQueue) -> None:
    queue.push([item(i) for i in range(3)], 1, 5)
    shown = session(queue, "art")
    assert values(queue) == [1.0, 0.0, 0.5]
    assert "Nothing left" in shown
    assert "3 labels given by ann" in shown


def test_keys_one_and_two_mean_what_stands_first_and_second_on_the_screen(queue: ExpertQueue) -> None:
    items = [pair(i) for i in range(6)]
    queue.push(items, 1, 6)
    session(queue, "111222")
    assert values(queue) == [i.as_shown(1.0) for i in items[:3]] + [i.as_shown(0.0) for i in items[3:]]


def test_harmful_text_and_critique_are_hidden_until_asked_for(queue: ExpertQueue) -> None:
    queue.push([item(1, harmful=True, query="SECRETQ", first="SECRETA", critique="SECRETC")], 1, 5)
    hidden = session(queue, "cq")
    assert "SECRET" not in hidden
    assert "v to view" in hidden
    viewed = session(queue, "vq")
    assert "SECRETQ" in viewed
    assert "SECRETA" in viewed
    assert "SECRETC" not in viewed
    assert "SECRETC" in session(queue, "vcq")


def test_uncovering_harmful_text_is_logged_once(queue: ExpertQueue) -> None:
    queue.push([item(1, harmful=True), item(2)], 1, 5)
    session(queue, "vvava")
    assert [e.action for e in queue.audit() if e.actor == "ann"] == ["claim", "reveal", "answer", "claim", "answer"]


def test_a_blind_item_is_answered_before_and_after_its_critique_is_seen(queue: ExpertQueue) -> None:
    queue.push([item(1, blind=True, critique="SECRETC")], 1, 5)
    assert "SECRETC" not in session(queue, "cq")
    shown = session(queue, "cra")
    assert "Answer first" in shown.partition("Kept.")[0]
    assert "SECRETC" in shown.partition("Kept.")[2]
    (given,) = queue.answers()
    assert (given.alone, given.value) == (0.0, 1.0)
    assert given.seconds is not None


def test_a_blind_item_taken_back_is_not_answered_blind_again(queue: ExpertQueue) -> None:
    queue.push([item(1, blind=True), item(2, pi=0.1)], 1, 5)
    session(queue, "rr" + "u" + "a" + "a")
    assert [(a.alone, a.value) for a in queue.answers()] == [(0.0, 1.0), (None, 1.0)]


def test_benign_text_is_shown_at_once_with_the_critique_folded(queue: ExpertQueue) -> None:
    queue.push([item(1)], 1, 5)
    shown = session(queue, "q")
    assert "question 1" in shown
    assert "looks fine" not in shown


def test_the_critique_of_a_pair_says_which_of_the_shown_answers_it_is_of(queue: ExpertQueue) -> None:
    items = [pair(i) for i in range(6)]
    assert {i.swapped for i in items} == {True, False}
    queue.push(items, 1, 6)
    told = [line for line in session(queue, "c1" * 6).splitlines() if "critique of" in line]
    assert [f"critique of answer {1 + i.swapped} " in line for i, line in zip(items, told, strict=True)] == [True] * 6


def test_undo_asks_the_last_item_again(queue: ExpertQueue) -> None:
    queue.push([item(1), item(2)], 1, 5)
    session(queue, "auru" + "aa")
    assert values(queue) == [1.0, 1.0]


def test_undo_without_an_answer_says_so(queue: ExpertQueue) -> None:
    queue.push([item(1)], 1, 5)
    assert "Nothing to undo" in session(queue, "uq")


def test_skip_moves_on_and_quit_gives_the_item_back(queue: ExpertQueue) -> None:
    queue.push([item(1), item(2)], 1, 5)
    session(queue, "sq")
    assert values(queue) == []
    session(queue, "aa", who="bob")
    assert values(queue) == [1.0, 1.0]


def test_a_wrong_key_gives_the_keys_and_changes_nothing(queue: ExpertQueue) -> None:
    queue.push([pair(1)], 1, 5)
    assert session(queue, "aq").count("1 first better") == 2
    assert values(queue) == []


def test_the_end_of_input_quits_and_gives_the_item_back(queue: ExpertQueue) -> None:
    queue.push([item(1)], 1, 5)
    session(queue, "")
    assert queue.claim("bob", 60) is not None


def test_an_answer_after_the_item_was_lost_is_not_counted(queue: ExpertQueue) -> None:
    queue.push([item(1)], 1, 5)

    def press() -> str:
        queue.release_all("ann")
        queue.record([("item001", "bob", 0.0)])
        return "a"

    out = io.StringIO()
    assert label(queue, "ann", Console(file=out), press) == 0
    assert "Not counted" in out.getvalue()
    assert values(queue) == [0.0]


def test_texts_cannot_drive_the_terminal_or_use_markup(queue: ExpertQueue) -> None:
    queue.push([item(1, first="\x1b[2J[bold]x[/bold]\u202eevil")], 1, 5)
    shown = session(queue, "q")
    assert "\x1b" not in shown
    assert "[bold]x[/bold]" in shown
    assert clean("a\x1bb\nc\u202e") == "a\\x1bb\nc\\x202e"


def test_without_a_terminal_a_line_is_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("accept\n"))
    assert read_key() == "a"
    with pytest.raises(EOFError):
        read_key()
