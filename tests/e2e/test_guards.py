"""Each guard fires in a real run that provokes it, and a run that was guarded resumes bit for bit."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from superalign.commands.main import main
from tests.smallest import SMALL

SETTINGS = [*SMALL, "data.limit=400", "cluster=inline", "guards.enabled=true"]
ABSURD = "learner.learning_rate=0.05"


def train(root: Path, name: str, *more: str) -> int:
    return main(["train", "recipe=selfplay", f"run.root={root}", f"run.name={name}", *SETTINGS, *more])


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed, however the lines were broken."""
    return " ".join("".join(capsys.readouterr()).split())


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def adapter(run: Path, number: int, role: str) -> bytes:
    return (run / "rounds" / f"{number:04d}" / "adapters" / role / "adapter_model.safetensors").read_bytes()


def version(run: Path, number: int, role: str) -> int:
    path = run / "rounds" / f"{number:04d}" / "adapters" / role / "version.json"
    return int(json.loads(path.read_text())["version"])


@pytest.fixture(scope="module")
def absurd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rounds of a learner whose learning rate ruins it every time."""
    root = tmp_path_factory.mktemp("runs")
    assert train(root, "absurd", ABSURD, "rounds=2") == 3  # no update was kept: nothing was learned
    return root / "absurd"


def test_a_ruined_learner_is_rolled_back_and_everybody_is_told(absurd: Path) -> None:
    assert adapter(absurd, 2, "learner") == adapter(absurd, 1, "learner") == adapter(absurd, 0, "learner")
    assert adapter(absurd, 2, "critic") != adapter(absurd, 0, "critic")
    assert [version(absurd, number, "learner") for number in (0, 1, 2)] == [0, 2, 4]
    for row in rows(absurd)[1:]:
        (action,) = row["guards"]["actions"]
        assert (action["role"], action["action"]) == ("learner", "rolled back")
        assert row["guards"]["checks"]["learner unhelpfulness"]["broken"]
        assert row["metrics"]["helpfulness"]["value"] > 0.8
    events = [json.loads(line) for line in (absurd / "events.jsonl").read_text().splitlines()]
    assert [(e["round"], e["role"]) for e in events if e["event"] == "guard"] == [(1, "learner"), (2, "learner")]
    report = (absurd / "report.html").read_text()
    assert len(re.findall("rolled back to round", report)) == 2
    assert "The learner learned nothing: every update was taken back by a guard" in report


def test_a_guarded_run_resumes_bit_for_bit_also_over_a_rollback(absurd: Path, tmp_path: Path) -> None:
    for rounds in (1, 2):
        assert train(tmp_path, "halves", ABSURD, f"rounds={rounds}") == 3
    for role in ("learner", "critic", "attacker"):
        assert adapter(tmp_path / "halves", 2, role) == adapter(absurd, 2, role)
        assert version(tmp_path / "halves", 2, role) == version(absurd, 2, role)
    assert [row["guards"] for row in rows(tmp_path / "halves")] == [row["guards"] for row in rows(absurd)]


def test_a_ruined_critic_is_rolled_back_before_the_learner_learns_from_it(tmp_path: Path) -> None:
    assert train(tmp_path, "critic", "critic.learning_rate=0.05", "rounds=1") == 0
    run = tmp_path / "critic"
    assert adapter(run, 1, "critic") == adapter(run, 0, "critic")
    assert version(run, 1, "critic") == 2
    assert [action["role"] for action in rows(run)[1]["guards"]["actions"]] == ["critic"]
    judged = rows(run)[1]["guards"]["checks"]["critic errors on synthetic flaws"]
    assert judged["broken"] and judged["after"] > judged["before"] + 0.2


@pytest.mark.slow
def test_a_collapsed_attacker_starts_again_from_its_initial_adapter(tmp_path: Path) -> None:
    given = ("data.limit=120", "attacker.learning_rate=0.1", "attacker.seeds=16", "guards.min_successes=1")
    assert train(tmp_path, "attacker", *given, "rounds=2") == 0
    run = tmp_path / "attacker"
    assert adapter(run, 1, "attacker") != adapter(run, 0, "attacker") == adapter(run, 2, "attacker")
    assert version(run, 2, "attacker") > version(run, 1, "attacker")
    assert [row["guards"]["attacker"]["restarted"] for row in rows(run)[1:]] == [False, True]


def test_a_run_whose_gap_keeps_growing_stops_and_stays_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The learner stands still, and what the critic learns pleases it more and more with the same answers."""
    run, given = tmp_path / "gap", ("learner.learning_rate=1e-6", "guards.gap_growth=0.02", "rounds=7")
    assert train(tmp_path, "gap", *given) == 1
    summary = json.loads((run / "summary.json").read_text())
    last = int(summary["rounds"])
    assert f"stopped by a guard after round {last} of 7: the proxy-gold gap grew by" in told(capsys)
    assert summary["status"] == "stopped" and f"in rounds {last - 1} and {last}" in summary["stopped"]
    assert "Stopped by a guard" in (run / "report.html").read_text()
    assert train(tmp_path, "gap", *given) == 1
    assert len(rows(run)) == last + 1 < 8
    assert main(["status", str(run)]) == 0
    assert "stopped by a guard" in told(capsys)


def test_guards_that_never_fire_leave_every_bit_as_it_is(tmp_path: Path) -> None:
    limits = ("guards.synthetic_flaws=1", "guards.over_refusal=1", "guards.helpfulness=1")
    assert train(tmp_path, "guarded", "rounds=1", *limits) == 0
    assert train(tmp_path, "free", "rounds=1", "guards.enabled=false") == 0
    assert not rows(tmp_path / "guarded")[1]["guards"]["actions"] and "guards" not in rows(tmp_path / "free")[1]
    for role in ("learner", "critic", "attacker"):
        assert adapter(tmp_path / "guarded", 1, role) == adapter(tmp_path / "free", 1, role)
