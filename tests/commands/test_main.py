"""The command line: starts at once, and a mistake is one line and exit code 2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from superalign.commands import main
from superalign.config.paths import groups
from superalign.config.schema import Config
from superalign.errors import ActorLost
from superalign.store.run_writer import RunWriter

ROOT = Path(main.__file__).parents[2]


def superalign(*argv: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "superalign.commands.main", *argv],
        capture_output=True,
        text=True,
        cwd=cwd or ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
    )


def comes_within(limit_s: float, *argv: str) -> bool:
    """Whether one of a few tries is that quick; the others may have met a busy machine."""
    untraced = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")}
    for _ in range(12):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "superalign.commands.main", *argv], cwd=ROOT, env=untraced, check=True,
                       capture_output=True)  # fmt: skip
        if time.perf_counter() - began < limit_s:
            return True
    return False


@pytest.fixture
def run_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with one run, `tried`, that holds no round yet."""
    monkeypatch.chdir(tmp_path)
    with RunWriter.create_or_resume(Config().model_dump(mode="json"), tmp_path / "runs", "tried"):
        pass
    return tmp_path


def test_help_comes_within_half_a_second() -> None:
    assert comes_within(0.5, "--help")


def test_the_resolved_configuration_comes_within_one_and_a_half_seconds() -> None:
    assert comes_within(1.5, "config", "recipe=selfplay")


@pytest.mark.parametrize("argv", [["--help"], ["config"]])
def test_neither_help_nor_config_imports_a_heavy_library(argv: list[str]) -> None:
    code = (
        "import sys; from superalign.commands.main import main\n"
        f"try: main({argv})\nexcept SystemExit: pass\n"
        "sys.exit(' '.join({'torch', 'ray', 'transformers', 'datasets', 'numpy'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_help_lists_every_recipe_and_group_option_with_its_line() -> None:
    shown = superalign("--help").stdout
    for group, options in groups().items():
        for option, line in options.items():
            assert any(f"{group}={option}" in row and line in row for row in shown.splitlines())


def test_config_prints_yaml_that_is_the_resolved_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["config", "recipe=selfplay", "seed=5"]) == 0
    assert Config.model_validate(yaml.safe_load(capsys.readouterr().out)) == Config(seed=5)


BAD: list[tuple[Sequence[str], str]] = [
    ([], "missing: VERB"),
    (["trian"], "unknown verb 'trian'; did you mean train?"),
    (["experts", "lable"], "did you mean label?"),
    (["train", "recipe=selfpaly"], "did you mean selfplay?"),
    (["train", "--fast"], "unrecognized arguments: --fast"),
    (["config", "expert.budget=-1"], "expert.budget=-1"),
    (["config", "seed=x"], "seed=x"),
    (["status", "nowhere"], "no run folder nowhere (runs under runs: tried)"),
    (["report", "runs"], "is no run folder"),
    (["logs"], "missing: RUN"),
    (["logs", "tried", "--actor", "nobody"], "no log of 'nobody'"),
    (["samples", "tried", "-n", "0"], "-n 0"),
    (["samples", "tried", "-n", "many"], "invalid int value: 'many'"),
    (["experts", "stats", "tried"], "no expert queue yet"),
    (["generate", "testbed", "--seed", "-1"], "'-1' should be a whole number that is 0 or more"),
    (["testbed", "build", "--seed", str(2**63)], "below 2**63"),
    (["testbed", "build", "--threads", "0"], "'0' should be a whole number above 0"),
    (["testbed", "build", "--out", "/dev/null/x"], "--out /dev/null/x cannot be written (Not a directory)"),
    (["generate", "tried", "--role", "judge"], "unknown --role 'judge' (there is: attacker, critic, learner)"),
]


@pytest.mark.parametrize(("argv", "fragment"), BAD, ids=lambda part: " ".join(part) if isinstance(part, list) else "")
def test_a_mistake_is_one_line_and_exit_code_2(
    argv: list[str], fragment: str, run_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(argv) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("superalign: ") and printed.err.count("\n") == 1
    assert fragment in printed.err


def test_the_command_itself_exits_with_2_and_no_traceback() -> None:
    done = superalign("config", "sed=1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "superalign: unknown key sed; did you mean seed?\n"


def test_a_run_folder_of_another_version_is_refused(run_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run_root / "runs/tried/format").write_text("99\n")
    assert main.main(["status", "tried"]) == 2
    assert "run format '99'" in capsys.readouterr().err


def test_status_report_and_logs_read_a_run_by_its_name(run_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run_root / "runs/tried/logs/critic.log").write_text("the critic says so\n")
    for verb, line in (
        ("status", "runs/tried: before round 0, stopped; superalign train run.name=tried with the same settings "),
        ("logs", "the critic says so\n"),
        ("samples", "no samples in runs/tried yet\n"),
    ):
        assert main.main([verb, "tried"]) == 0
        assert line in capsys.readouterr().out
    assert main.main(["report", "runs/tried"]) == 0
    assert Path(capsys.readouterr().out.strip()) == (run_root / "runs/tried/report.html").resolve()


def use_recipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str) -> None:
    path = tmp_path / "recipe.py"
    path.write_text(body)
    monkeypatch.setattr(main, "recipe_path", lambda name: path)


def test_train_hands_the_resolved_configuration_to_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_recipe(monkeypatch, tmp_path, "def main(config):\n    print(config.recipe, config.seed)\n    return 0\n")
    assert main.main(["train", "recipe=selfplay", "seed=7"]) == 0
    assert capsys.readouterr().out == "selfplay 7\n"


WRITES_A_RUN = """
from superalign.errors import ActorLost
from superalign.store.run_writer import RunWriter

def main(config):
    with RunWriter.create_or_resume(config.model_dump(mode="json"), config.run.root, config.run.name) as run:
        for _ in range(4):
            run.begin_round(0)
        raise {}
"""


@pytest.mark.parametrize(
    ("raised", "code"), [("KeyboardInterrupt", 130), ("ActorLost('critic', 'critic died too often')", 1)]
)
def test_a_run_that_stops_says_how_to_resume_it(
    raised: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    use_recipe(monkeypatch, tmp_path, WRITES_A_RUN.format(raised))
    assert main.main(["train", "recipe=selfplay", "seed=7"]) == code
    (made,) = (tmp_path / "runs").iterdir()
    assert f"with: superalign train recipe=selfplay seed=7 run.name={made.name}\n" in capsys.readouterr().err


def test_an_interrupt_before_the_first_round_says_that_there_is_nothing_to_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    use_recipe(monkeypatch, tmp_path, "def main(config):\n    raise KeyboardInterrupt\n")
    assert main.main(["train"]) == 130
    assert capsys.readouterr().err == "superalign: interrupted; no round was begun, nothing to resume\n"


def test_of_runs_that_processes_of_one_number_wrote_the_newest_that_can_be_read_is_to_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ours = json.dumps({"pid": os.getpid()})
    events = {name: tmp_path / "runs" / name / "events.jsonl" for name in ("first", "second", "damaged")}
    for name, path in events.items():
        path.parent.mkdir(parents=True)
        path.write_text(("{" if name == "damaged" else ours) + "\n")
    for newest in ("first", "second"):
        for name, path in events.items():
            os.utime(path, (1, {newest: 2, "damaged": 3}.get(name, 1)))
        assert main._how_to_resume(["train"]).endswith(f": superalign train run.name={newest}")
    assert main._how_to_resume(["train", "run.name=damaged"]).endswith(": superalign train run.name=damaged")
    assert main._how_to_resume(["train", "run.name=none"]) == "no round was begun, nothing to resume"


@pytest.mark.parametrize(("argv", "code"), [(["train"], 1), (["experts", "stats", "tried"], 0)])
def test_a_pipe_that_broke_under_work_is_no_success(
    argv: list[str], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(arguments: object) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(main, "train", broken)
    monkeypatch.setattr(main.expert_verbs, "stats", broken)
    spare = os.open(os.devnull, os.O_WRONLY)
    monkeypatch.setattr(sys.stdout, "fileno", lambda: spare)
    assert main.main(argv) == code
    os.close(spare)
    assert ("whoever read the output has gone" in capsys.readouterr().err) is bool(code)


def test_a_pipe_that_broke_in_an_actor_is_that_actor_s_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(arguments: object) -> int:
        error = BrokenPipeError()
        error.add_note("in actor critic")
        raise error

    monkeypatch.setattr(main, "config", broken)
    with pytest.raises(BrokenPipeError):
        main.main(["config"])


def test_a_recipe_without_a_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(main, "recipe_path", lambda name: tmp_path / f"{name}.py")
    assert main.main(["train"]) == 2
    assert "recipe 'selfplay' has no file" in capsys.readouterr().err


def test_a_reader_that_leaves_early_causes_no_traceback() -> None:
    code = f"{sys.executable} -m superalign.commands.main config | true"
    done = subprocess.run(["bash", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr == ""


def test_actor_lost_survives_the_way_between_processes() -> None:
    import pickle

    lost = pickle.loads(pickle.dumps(ActorLost("critic", "died")))
    assert (lost.actor, str(lost)) == ("critic", "died")


class TestExperts:
    @pytest.fixture
    def queue_file(self, run_root: Path) -> Path:
        from superalign.experts.queue import ExpertQueue, Item

        item = Item(
            id="i1", round=1, kind="point", query_id="q", first_id="r", second_id="", query="May I?", first="Yes.",
            second="", critique="Fine.", category="c", pi=0.5, lane="active", double=False, harmful=False,
        )  # fmt: skip
        path = run_root / "runs/tried/experts.sqlite"
        queue = ExpertQueue(path)
        queue.push([item], round=1, budget=5)
        queue.close()
        return path

    def test_an_export_filled_in_and_imported_becomes_labels(
        self, queue_file: Path, run_root: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main.main(["experts", "export", "tried", "items.jsonl"]) == 0
        row = json.loads(Path("items.jsonl").read_text())
        Path("items.jsonl").write_text(json.dumps(row | {"annotator": "ada", "answer": "accept"}) + "\n")
        assert main.main(["experts", "import", "tried", "items.jsonl"]) == 0
        assert main.main(["experts", "export", "tried", "labels.jsonl", "--labels"]) == 0
        assert json.loads(Path("labels.jsonl").read_text())["annotator"] == "ada"
        assert "1 new labels" in capsys.readouterr().out

    def test_a_malformed_line_of_an_import_is_named_by_number(
        self, queue_file: Path, run_root: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Path("bad.jsonl").write_text("\n{oops\n")
        assert main.main(["experts", "import", "tried", "bad.jsonl"]) == 2
        assert "bad.jsonl line 2 is not JSON" in capsys.readouterr().err

    def test_labelling_in_the_terminal_stands_in_the_statistics(self, queue_file: Path, run_root: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "superalign.commands.main", "experts", "label", "tried", "--annotator", "ada"],
            input="a\n", text=True, capture_output=True, cwd=run_root, env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "1 labels given by ada" in done.stdout
        assert superalign("experts", "stats", "tried", cwd=run_root).returncode == 0


def test_doctor_names_what_is_missing_and_exits_accordingly(capsys: pytest.CaptureFixture[str]) -> None:
    code = main.main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    found = {line.split()[1]: line.split()[0] for line in lines}
    assert {"python", "disk", "devices", "ray"} <= found.keys()
    assert (found["devices"], found["ray"]) == ("ok", "ok"), lines
    assert code == (1 if any(line.startswith("bad") for line in lines) else 0)
