"""Answering the queue in a terminal, one key an answer."""

from __future__ import annotations

import sys
import time
import unicodedata
from collections.abc import Callable

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from superalign.experts.items import Item, LeasedItem, LeaseLost
from superalign.experts.questions import SAID, Questions
from superalign.experts.queue import ExpertQueue
from superalign.records import by_dimension

VALUES = {"point": {"a": 1.0, "r": 0.0, "t": 0.5}, "pair": {"1": 1.0, "2": 0.0, "t": 0.5}}
KEYS = {
    "point": "a accept  r refuse  t cannot say",
    "pair": "1 first better  2 second better  t tie",
}
ASKED = "n {no}  y {yes}  t {tie}  b back"  # by a policy of several dimensions
DECIDED = "k keep  b back"
SAID_BY = {"y": "yes", "n": "no", "t": "tie"}
COMMON = "v view text  c critique  s skip  u undo  q quit"
COMMANDS = frozenset("vcsuqg")
VERDICTS = {1.0: "acceptable", 0.0: "not acceptable", 0.5: "cannot say"}


def label(
    queue: ExpertQueue,
    annotator: str,
    console: Console,
    read: Callable[[], str] | None = None,
    lease_s: float = 600.0,
    guideline: str = "",
) -> int:
    """Offer item after item until none is left or the annotator quits; returns how many labels now stand.

    By a policy of several dimensions each question that still matters is asked in turn, and what the answers compose to
    is shown before it is kept. The `guideline` is shown first, and again by `g`.

    Text around a harmful request stays hidden until `v`, which is logged; critiques are folded until `c`, of blind
    items until they have been answered once: then the critique unfolds and the answer that counts is asked for. Control
    characters of the texts are shown, not obeyed. `read` returns one key (default: the keyboard); end of input quits.
    """
    press = read or read_key
    given: list[str] = []
    _guide(guideline, console)
    while (leased := queue.claim(annotator, lease_s)) is not None:
        try:
            more = _ask(queue, leased, console, press, given, guideline)
        except (EOFError, KeyboardInterrupt):
            more = False
        if not more:
            queue.release(leased.token)
            break
    else:
        console.print("Nothing left to answer.")
    console.print(f"{len(given)} labels given by {annotator}.", markup=False)
    return len(given)


def read_key() -> str:
    """One key from the terminal; the first letter of a line where input is no terminal."""
    if not sys.stdin.isatty():
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.strip()[:1]
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        key = sys.stdin.read(1)
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
    if key in ("", "\x04"):
        raise EOFError
    return key


def _guide(guideline: str, console: Console) -> None:
    if guideline.strip():
        console.print(Panel(Text(clean(guideline.strip())), title="guideline", title_align="left"))


def _ask(
    queue: ExpertQueue,
    leased: LeasedItem,
    console: Console,
    press: Callable[[], str],
    given: list[str],
    guideline: str,
) -> bool:
    """Show one item until it is answered, skipped or undone; False to quit."""
    item, visible, began = leased.item, not leased.item.harmful, time.monotonic()
    blind, unfolded = item.blind and leased.alone is None, leased.alone is not None
    questions = queue.questions if item.kind == "point" else None
    said = by_dimension(leased.dimensions)
    while True:
        _show(item, console, visible, unfolded)
        key = _given(item, questions, said, console, press)
        if key == "q":
            return False
        if key == "s":
            queue.release(leased.token, skip=True)
            return True
        if key == "u":
            if not given:
                console.print("Nothing to undo.")
                continue
            queue.undo(given.pop())
            queue.release(leased.token)
            console.print("Taken back; it is asked again.")
            return True
        if key == "g":
            _guide(guideline, console)
            continue
        if key == "c":
            unfolded = not blind
            if blind:
                console.print("Answer first; then the critique is shown.")
            continue
        try:
            if key == "v":
                if not visible:
                    queue.reveal(leased.token)
                visible = True
                continue
            assert isinstance(key, float)
            if blind:
                queue.answer_alone(leased.token, key, said)
                blind, unfolded = False, True
                console.print("Kept. Now with the critique:")
                continue
            label = queue.submit(leased.token, key, seconds=time.monotonic() - began, dimensions=said)
            given.append(label.id)
        except LeaseLost as lost:
            console.print(f"Not counted: {lost}.", markup=False)
        return True


def _given(
    item: Item, questions: Questions | None, said: dict[str, float], console: Console, press: Callable[[], str]
) -> str | float:
    """A command, or the value of the answer; `said` keeps what is answered question by question."""
    name: str | None = None
    while True:
        if questions is None:
            line, found = KEYS[item.kind], VALUES[item.kind]
        elif (name := questions.next(said)) is None:
            value = questions.verdict(said)
            told = ", ".join(_worded(questions, each, p) for each, p in said.items())
            line, found = f"{told}: {VERDICTS[value]}.  {DECIDED}", {"k": value}
        else:
            line = f"{questions.policy.dimensions[name].question}  {ASKED.format(**questions.words(name))}"
            found = {key: SAID[word] for key, word in SAID_BY.items()}
        console.print(f"{line}  {COMMON}", style="dim", markup=False)
        key = press().lower()
        if key in COMMANDS:
            return key
        if key == "b" and said:
            said.popitem()
        elif key in found and questions is not None and name is not None:
            said[name] = found[key]
        elif key in found:
            return found[key]


def _worded(questions: Questions, name: str, p: float) -> str:
    return next(words for word, words in questions.words(name).items() if SAID[word] == p)


def _show(item: Item, console: Console, visible: bool, unfolded: bool) -> None:
    a, b = item.shown
    parts = [("request", item.query), ("answer" if item.kind == "point" else "1", a)]
    parts += [("2", b)] if item.kind == "pair" else []
    console.rule(Text(f"round {item.round} · {clean(item.category)}"))
    for title, text in parts:
        shown = Text(clean(text)) if visible else Text(f"hidden, {len(text)} characters: v to view", style="dim")
        console.print(Panel(shown, title=title, title_align="left"))
    if unfolded:
        body = Text(clean(item.critique)) if visible else Text("hidden: v to view", style="dim")
        title = f"critique of answer {item.about}" if item.about else "critique"
        console.print(Panel(body, title=title, title_align="left", style="dim"))


def clean(text: str) -> str:
    """The text with control and direction-changing characters and half ones made visible: none drives the terminal."""
    obeyed = ("Cc", "Cf", "Cs")
    return "".join(c if c == "\n" or unicodedata.category(c) not in obeyed else f"\\x{ord(c):02x}" for c in text)
