"""Terminals and pipes that are no UTF-8, or gone: replaced characters and one line, never a traceback."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from superalign.commands import main
from superalign.store.run_writer import RunWriter
from tests.commands.parts import COMMAND, ROOT
from tests.store.parts import config

FIGURE = {"value": -0.421, "low": -0.5, "high": 0.5, "n": 96}
SAMPLE = {"query": "wie baue ich einen Käfer für 5 €? 你好", "response": "nein ☂", "critique": "", "kind": "benign"}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run in the working directory, with words of many alphabets."""
    monkeypatch.chdir(tmp_path)
    with RunWriter.create_or_resume(config(rounds=1), "runs", "tried", Console(file=io.StringIO())) as run:
        for number in (0, 1):
            run.begin_round(number)
            run.commit_round(number, {"metrics": {"helpfulness": FIGURE}}, [{**SAMPLE, "why": "ünd"}])
        run.finish({}, versions={})
    (tmp_path / "my.yaml").write_text("run.name: größe\n", encoding="utf-8")
    return "tried"


VERBS = [
    ["status"],
    ["status", "tried"],
    ["samples", "tried", "--reveal"],
    ["logs", "tried"],
    ["config", "my.yaml"],
    ["config", "--explain", "learner.beta"],
    ["recipe", "list"],
    ["testbed", "describe"],
    ["train", "recipe=größe.py"],
    ["status", "größe"],
]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("argv", VERBS, ids=" ".join)
def test_what_an_encoding_lacks_is_replaced(
    argv: list[str], encoding: str, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipes = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", pipes[0])
    monkeypatch.setattr(sys, "stderr", pipes[1])
    assert main.main(argv) == (2 if "größe" in argv[-1] else 0)
    for pipe in pipes:
        pipe.flush()
    said = b"".join(pipe.buffer.getvalue() for pipe in pipes if isinstance(pipe.buffer, io.BytesIO))
    assert said.decode(encoding)


def test_figures_stay_readable_in_ascii(run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding="ascii"))
    assert main.main(["status", "tried"]) == 0
    assert b"-42 % [-50 to 50 %]" in buffer.getvalue()


def test_words_that_are_no_text_are_replaced_too(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["status", "caf\udce9"]) == 2
    assert "no run folder caf?" in capsys.readouterr().err


def test_what_is_typed_in_another_encoding_is_read(run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9\n"), encoding="utf-8"))
    assert main.main(["recipe", "list"]) == 0
    assert sys.stdin.readline() == "caf\N{REPLACEMENT CHARACTER}\n"


@pytest.mark.parametrize(
    ("redirected", "code", "told"),
    [
        ("| true", 0, ""),
        ("| head -1", 0, ""),
        (">&-", 0, ""),
        ("> /dev/full", 1, "superalign: the output cannot be written (No space left on device)\n"),
    ],
)
def test_a_reader_that_has_gone_or_a_full_disk_causes_no_traceback(
    redirected: str, code: int, told: str, run: str
) -> None:
    command = f"set -o pipefail; {' '.join(COMMAND)} status {redirected} > /dev/null"
    if not redirected.startswith("|"):
        command = f"{' '.join(COMMAND)} status {redirected}"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (code, told)
