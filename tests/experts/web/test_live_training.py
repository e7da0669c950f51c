"""Training that waits for an expert who answers on the served page, live: what they say is what it then trains on."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from superalign.commands.main import main
from superalign.experts.queue import ExpertQueue
from superalign.records import ExpertLabel, Preference
from superalign.store.folder import RunFolder
from superalign.store.lineage import lineage
from superalign.store.tables import read_records
from tests import browser as chromium
from tests.benchmarks.expert_http import server
from tests.experts.web.visitor import Visitor
from tests.smallest import SMALL

ROOT = Path(__file__).parents[3]
PEOPLE = ("ada", "ben")
Way = Callable[[str, str, dict[str, str], threading.Event], None]
SETTINGS = [
    *(*SMALL, "cluster=inline", "rounds=1"),
    *("expert.source=queue", "expert.wait=true", "expert.wait_timeout_s=120"),
]


def answer_live(address: str, token: str, choices: dict[str, str], done: threading.Event) -> None:
    """An expert who answers every item by one rule until training is done."""
    expert = Visitor(address)
    page = expert.login(token)
    while not done.is_set():
        if "/reveal" in page.actions:
            page = expert.send(page, "/reveal")
        elif page.item:
            action = "/alone" if "/alone" in page.actions else "/answer"
            kind = "pair" if 'value="b"' in page.text else "point"
            page = expert.send(page, action, answer=choices[kind])
        else:
            done.wait(0.5)
            page = expert.get("/")


def answer_in_browser(address: str, token: str, choices: dict[str, str], done: threading.Event) -> None:
    """The same in a real Chromium, by keyboard alone."""
    keys = {"a": "1", "b": "2", "accept": "a", "refuse": "r"}
    page = "document.querySelector('#annotate, #idle')"
    with chromium.browser() as browser:
        browser.open(f"{address}login", 1280)
        browser.wait("document.activeElement.id === 'token'")
        browser.press(token + chromium.KEYS["enter"])
        while not done.is_set():
            browser.wait(f"{page} && 'ready' in {page}.dataset")
            keyed = "[...document.querySelectorAll('[data-key]')].map(one => one.dataset.key)"
            asks = browser.run(f"return document.querySelector('#annotate') && {keyed}")
            if asks is None:
                done.wait(0.5)
                browser.open(address, 1280)
                continue
            key = "v" if "v" in asks else keys[choices["pair" if "1" in asks else "point"]]
            browser.run("document.documentElement.dataset.old = ''")
            browser.press(key)
            browser.wait("!('old' in document.documentElement.dataset)")


def trained(
    root: Path, name: str, choices: dict[str, str], ways: Sequence[Way], capsys: pytest.CaptureFixture[str]
) -> RunFolder:
    """A run of one round, its two experts, each in a way of their own, at work beside it."""
    log, done = root / f"{name}.log", threading.Event()
    command = ["train", "recipe=selfplay", f"run.root={root}", f"run.name={name}", *SETTINGS]
    with log.open("w") as out:
        training = subprocess.Popen(
            [sys.executable, "-m", "superalign.commands.main", *command],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=out,
            stderr=out,
        )
        run = root / name
        while training.poll() is None and not (run / "config.yaml").is_file():
            done.wait(0.2)
        tokens = []
        for name in PEOPLE:  # two, for the blind doubles
            assert main(["experts", "add-user", str(run), name]) == 0, log.read_text()
            tokens.append(capsys.readouterr().out.rpartition(": ")[2].strip())
        with server(run) as (_, address), ThreadPoolExecutor(len(PEOPLE)) as pool:
            work = [pool.submit(way, address, token, choices, done) for way, token in zip(ways, tokens, strict=True)]
            code = training.wait(500)
            done.set()
            for one in work:
                one.result()
    assert code == 0, log.read_text()[-3000:]
    return RunFolder.open(run)


def labels(run: RunFolder) -> list[ExpertLabel]:
    return list(read_records(run.round_path(1), "labels", ExpertLabel))


def preferences(run: RunFolder) -> list[Preference]:
    return list(read_records(run.round_path(1), "preferences", Preference))


def beliefs(run: RunFolder) -> dict[tuple[str, str], float]:
    """P(first better) by (first, second), both ways; what is too uncertain is not trained on, and not here."""
    found = {(p.chosen_id, p.rejected_id): p.q for p in preferences(run)}
    return found | {(b, a): 1 - q for (a, b), q in found.items()}


@pytest.mark.slow
@pytest.mark.skipif(not chromium.AT_HAND, reason="needs chromium and chromedriver, which are not here")
def test_what_an_expert_answers_during_a_round_is_what_that_round_trains_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = trained(tmp_path, "first", {"pair": "a", "point": "accept"}, (answer_in_browser, answer_live), capsys)
    second = trained(tmp_path, "second", {"pair": "b", "point": "refuse"}, (answer_live, answer_live), capsys)
    for run, answer in ((first, 1.0), (second, 0.0)):
        queue = ExpertQueue(run.experts_path)
        items = {item.id: item for item in queue.items()}
        found = labels(run)
        assert 0 < len(found) <= 12 and {label.annotator for label in found} <= set(PEOPLE)
        assert all(label.value == items[label.item_id].as_shown(answer) for label in found)
        assert not any(label.simulated for label in found)
        assert queue.verify() == []
        queue.close()
    expected = [p for p in preferences(first) if p.source == "expert"]
    assert expected, "no pair was escalated"
    for preference in expected:
        rests_on = lineage(first, preference.id).came_from.labels
        assert rests_on and all(label.annotator in PEOPLE for label in rests_on)
    believed = [beliefs(run) for run in (first, second)]
    with closing(ExpertQueue(first.experts_path)) as queue:
        shown = {
            (i.second_id, i.first_id) if i.swapped else (i.first_id, i.second_id) for i in queue.items() if i.second
        }
    for pair in shown & {name for found in believed for name in found}:
        to_a, to_b = (found.get(pair, 0.5) for found in believed)
        assert to_a > to_b, "whoever says the first is better makes that more believed"
    assert {p.id for p in preferences(first)} != {p.id for p in preferences(second)}
