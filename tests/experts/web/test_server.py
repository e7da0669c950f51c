"""The server as a user starts it: a process of its own, with its address, its end, and its death."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from superalign.commands import experts
from superalign.commands.main import main
from superalign.config.schema import Config
from superalign.experts import formats
from superalign.experts.queue import ExpertQueue
from superalign.experts.users import Users
from superalign.store.run_writer import RunWriter
from tests.benchmarks.expert_http import Event, check, load, percentiles, prepare, server
from tests.experts.test_queue import item
from tests.experts.web.visitor import Visitor

ROOT = Path(__file__).parents[3]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    with RunWriter.create_or_resume(Config().model_dump(mode="json"), tmp_path, "tried"):
        pass
    return tmp_path / "tried"


def superalign(*argv: str, wait: bool = True) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "superalign.commands.main", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    if wait:
        process.wait(120)
    return process


def test_it_prints_its_address_a_first_token_and_ends_cleanly_on_ctrl_c(run: Path) -> None:
    process = superalign("experts", "serve", str(run), "--port", "0", wait=False)
    assert process.stdout and process.stderr
    token = process.stdout.readline().rpartition(": ")[2].strip()
    address = process.stdout.readline().split()[3]
    visitor = Visitor(address)
    assert "Nothing to answer now" in visitor.login(token).text
    assert visitor.get("/users").status == 200
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out == "Ended; every answer that was acknowledged is kept.\n"
    assert "logged in" in err and "Traceback" not in err
    assert (run / "experts.key").stat().st_mode & 0o077 == 0


def test_it_is_not_opened_to_others_before_anybody_can_log_in(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experts", "serve", str(run), "--host", "0.0.0.0", "--port", "0"]) == 2
    err = capsys.readouterr().err
    assert "nobody can log in" in err and "add-user" in err and err.count("\n") == 1


def test_a_port_that_is_taken_is_one_clear_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["experts", "add-user", str(run), "ann"])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["experts", "serve", str(run), "--port", str(port)]) == 2
    err = capsys.readouterr().err
    assert f"port {port}" in err and err.count("\n") == 1
    assert main(["experts", "serve", str(run), "--port", "99999"]) == 2


@pytest.mark.parametrize("missing", ["itsdangerous", "fastapi", "uvicorn"])
def test_without_the_extra_it_says_what_to_install(run: Path, missing: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None; "
        "from superalign.commands.main import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "experts", "serve", str(run)], capture_output=True, text=True, cwd=ROOT
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"superalign: the page needs {missing}: pip install 'superalign[experts]'\n"


def test_add_user_prints_a_token_once_and_refuses_a_second(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experts", "add-user", str(run), "ann", "--role", "adjudicator"]) == 0
    token = capsys.readouterr().out.rpartition(": ")[2].strip()
    queue = ExpertQueue(run / "experts.sqlite")
    found = Users(queue).by_token(token)
    queue.close()
    assert found is not None and (found.name, found.role) == ("ann", "adjudicator")
    assert main(["experts", "add-user", str(run), "ann"]) == 2
    assert main(["experts", "add-user", str(run), "eve", "--role", "king"]) == 2
    assert "there is: annotator, adjudicator, admin" in capsys.readouterr().err


def test_verify_names_an_edited_row(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    queue = ExpertQueue(run / "experts.sqlite")
    queue.push([item(1)], 1, 1)
    leased = queue.claim("ann", 60)
    assert leased
    label = queue.submit(leased.token, 1.0)
    assert main(["experts", "verify", str(run)]) == 0
    assert "as the log of" in capsys.readouterr().out
    with queue.database.write() as db:
        db.exec_driver_sql("UPDATE label SET value = 0.0")
    queue.close()
    assert main(["experts", "verify", str(run)]) == 1
    assert capsys.readouterr().out == f"label {label.id} was edited\n1 faults\n"


def test_every_format_has_its_place_on_the_command_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (tuple(formats.EXPORTS), tuple(formats.IMPORTS)) == (experts.EXPORTS, experts.IMPORTS)
    queue = ExpertQueue(run / "experts.sqlite")
    queue.push([item(1)], 1, 1)
    queue.close()
    for name in experts.EXPORTS:
        assert main(["experts", "export", str(run), str(run / f"out-{name}"), "--format", name]) == 0
        assert f"rows in {run / f'out-{name}'}" in capsys.readouterr().out
    for name in experts.IMPORTS:
        assert main(["experts", "import", str(run), str(run / "nowhere"), "--format", name]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert main(["experts", "export", str(run), "x", "--format", "trl", "--labels"]) == 2
    assert main(["experts", "export", str(run), "x", "--format", "argila"]) == 2
    assert "did you mean argilla?" in capsys.readouterr().err


def test_stats_tell_labels_budget_agreement_and_error(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    queue = ExpertQueue(run / "experts.sqlite")
    queue.push([item(i, votes=2, p=0.9) for i in range(3)], 1, 9)
    for who in ("ann", "ben"):
        while leased := queue.claim(who, 60):
            queue.submit(leased.token, 1.0, seconds=3.0)
    queue.close()
    assert main(["experts", "stats", str(run)]) == 0
    out = capsys.readouterr().out
    assert "round 1: 6 of 9 labels given, 3 items" in out
    assert "agreement of expert with expert: 1.000" in out and "agreement of expert with critic: 1.000" in out
    assert "error of ann: " in out and "seconds a label: median 3.0" in out and "labels by ben: 3" in out


def test_the_store_is_where_the_configuration_says(
    tmp_path: Path, postgres: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Config(expert={"store": postgres}).model_dump(mode="json")
    with RunWriter.create_or_resume(config, tmp_path, "shared"):
        pass
    run = tmp_path / "shared"
    assert main(["experts", "add-user", str(run), "ann"]) == 0
    token = capsys.readouterr().out.rpartition(": ")[2].strip()
    queue = ExpertQueue(postgres, space="shared")
    queue.push([item(1)], 1, 1)
    with server(run) as (_, address):
        ann = Visitor(address)
        assert ann.send(ann.login(token), "/answer", answer="accept").note == "Your answer is saved."
    assert len(queue.labels()) == 1
    queue.close()
    assert not (run / "experts.sqlite").exists()
    assert main(["experts", "verify", str(run)]) == 0


def test_a_server_killed_at_any_moment_loses_no_acknowledged_answer(tmp_path: Path) -> None:
    run, queue, tokens = prepare(tmp_path, items=300, clients=6)
    events: list[Event] = []
    for life in range(4):
        with server(run) as (process, address):
            dead = threading.Event()

            def kill(process: subprocess.Popen[str] = process, dead: threading.Event = dead, life: int = life) -> None:
                time.sleep(1.0 + 0.13 * life)
                process.kill()
                dead.set()

            killer = threading.Thread(target=kill)
            killer.start()
            # Slow enough for the rate limit.
            events += load(address, tokens, 0.1, lambda: not dead.is_set())  # noqa: B023
            killer.join()
    acknowledged = sum(event.name == "answer" for event in events)
    assert acknowledged > 20
    assert not any(check(queue, events).values())
    # What was written but not acknowledged is at most what was under way at each death.
    assert len(queue.answers()) - acknowledged <= 4 * len(tokens)
    queue.close()


def test_eight_annotators_at_once_get_every_item_answered_and_the_next_one_quickly(tmp_path: Path) -> None:
    run, queue, tokens = prepare(tmp_path, items=80, clients=8)
    with server(run) as (_, address):
        events = load(address, tokens, 0.3, lambda: queue.pending(1) > 0)
    assert not any(check(queue, events).values())
    assert queue.items(unanswered=True) == []
    assert percentiles(events, "next item")[0] < 0.25  # a bound for a busy machine; the benchmark has the real one
    queue.close()
