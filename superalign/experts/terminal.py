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
from superalign.experts.queue import ExpertQueue

VALUES = {"point": {"a": 1.0, "r": 0.0, "t": 0.5}, "pair": {"1": 1.0, "2": 0.0, "t": 0.5}}
KEYS = {
    "point": "a accept  r refuse  t cannot say",
    "pair": "1 first better  2 second better  t tie",
}
COMMON = "v view text  c critique  s skip  u undo  q quit"


def label(
    queue: ExpertQueue,
    annotator: str,
    console: Console,
    read: Callable[[], str] | None = None,
    lease_s: float = 600.0,
) -> int:
    """Offer item after item until none is left or the annotator quits; returns how many labels now stand.

    Text around a harmful request stays hidden until `v`, which is logged; critiques are folded until `c`, of blind
    items until they have been answered once: then the critique unfolds and the answer that counts is asked for. Control
    characters of the texts are shown, not obeyed. `read` returns one key (default: the keyboard); end of input quits.
    """
    press = read or read_key
    given: list[str] = []
    while (leased := queue.claim(annotator, lease_s)) is not None:
        try:
            more = _ask(queue, leased, console, press, given)
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


def _ask(queue: ExpertQueue, leased: LeasedItem, console: Console, press: Callable[[], str], given: list[str]) -> bool:
    """Show one item until it is answered, skipped or undone; False to quit."""
    item, visible, began = leased.item, not leased.item.harmful, time.monotonic()
    blind, unfolded = item.blind and leased.alone is None, leased.alone is not None
    while True:
        _show(item, console, visible, unfolded)
        key = press().lower()
        while key not in VALUES[item.kind] and key not in set("vcsuq"):
            console.print(f"{KEYS[item.kind]}  {COMMON}", style="dim", markup=False)
            key = press().lower()
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
            if blind:
                queue.answer_alone(leased.token, VALUES[item.kind][key])
                blind, unfolded = False, True
                console.print("Kept. Now with the critique:")
                continue
            label = queue.submit(leased.token, VALUES[item.kind][key], seconds=time.monotonic() - began)
            given.append(label.id)
        except LeaseLost as lost:
            console.print(f"Not counted: {lost}.", markup=False)
        return True


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
    console.print(f"{KEYS[item.kind]}  {COMMON}", style="dim", markup=False)


def clean(text: str) -> str:
    """The text with control and direction-changing characters and half ones made visible: none drives the terminal."""
    obeyed = ("Cc", "Cf", "Cs")
    return "".join(c if c == "\n" or unicodedata.category(c) not in obeyed else f"\\x{ord(c):02x}" for c in text)
