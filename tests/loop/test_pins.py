"""What a run depends on beside its settings is found from these."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from superalign.commands import main
from superalign.config.compose import load
from superalign.config.schema import Config
from superalign.data import demo
from superalign.loop import pins
from superalign.loop.pins import find_pins
from superalign.models import TESTBED
from superalign.store.folder import RunFolder

RECIPE = """
from superalign.loop.rounds import open_run
from superalign.store.run_writer import Plan

def main(config):
    with open_run(config, Plan(config.rounds)) as run:
        for number in range(len(run.rounds()), config.rounds + 1) if run else ():
            run.begin_round(number)
            run.commit_round(number, {"metrics": {}, "counts": {}, "train": {}})
    return 0
"""
FAMILY = """
class Mine:
    def wrap(self, text, rng):
        return text
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(RECIPE)
    Path("family.py").write_text(FAMILY)
    Path("s.jsonl").write_text('{"text": "one"}\n')
    Path("principles.txt").write_text("Be kind.\n")
    shutil.copytree(TESTBED, "model")
    Path("rows").mkdir()
    Path("rows/a.csv").write_text("text\nx\n")


WORDS = [
    *("recipe=mine.py", "run.name=t", "rounds=1", "model=model", "critic.model=testbed-small", "data.seeds=s.jsonl"),
    *("data=rows", "refine.constitution=principles.txt", "attacker.families=[spelling,family.py:Mine]"),
]
NAMES = {
    *("recipe=mine.py", "model=model", "critic.model=testbed-small", "data.seeds=s.jsonl", "data.source=rows"),
    *("refine.constitution=principles.txt", "attacker.families=family.py:Mine", "prompts"),
}


def train(*more: str) -> int:
    return main.main(["train", *WORDS, *more])


def test_seeds_models_plug_ins_and_whatever_a_setting_names_are_pinned() -> None:
    assert train() == 0
    found = RunFolder.open("t").pinned().pins
    assert set(found) == NAMES
    assert found["data.seeds=s.jsonl"].fingerprint == hashlib.sha256(b'{"text": "one"}\n').hexdigest()
    assert found["attacker.families=family.py:Mine"].path == str(Path("family.py").resolve())
    assert all(len(str(pin.fingerprint)) == 64 for pin in found.values())


def test_the_data_that_ship_are_pinned_by_their_content() -> None:
    files = {"data.seeds": "requests", "expert.curated": "answers", "evaluation.labels": "judge_answers"}
    found = find_pins(load([f"{setting}=demo" for setting in files]))
    for setting, file in files.items():
        assert found[f"{setting}=demo"].fingerprint == hashlib.sha256(demo.path(file).read_bytes()).hexdigest()


def change(path: str) -> None:
    with open(path, "ab") as handle:
        handle.write(b" ")
    os.utime(path, (1, 1))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("s.jsonl", "data.seeds=s.jsonl: the file"),
        ("rows/a.csv", "data.source=rows: the folder"),
        ("model/tokenizer.json", "model=model: the model"),
        ("principles.txt", "refine.constitution=principles.txt: the file"),
        ("family.py", "attacker.families=family.py:Mine: the file"),
        ("mine.py", "recipe=mine.py: the file"),
    ],
)
def test_a_resumption_that_finds_another_is_refused_until_that_is_accepted(
    path: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train() == 0
    change(path)
    assert train("rounds=2") == 2
    told = capsys.readouterr().err
    assert f"{name} is another" in told and told.count(" is another") == 1
    assert RunFolder.open("t").rounds() == [0, 1]
    assert train("rounds=2", "--accept-changes") == 0
    run = RunFolder.open("t")
    assert (run.rounds(), [each["name"] for each in run.pinned().accepted]) == ([0, 1, 2], [name.partition(": ")[0]])
    assert train("rounds=3") == 0


def test_other_prompts_of_another_version_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train() == 0
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "constitution.txt").write_text("Be rude.\n")
    monkeypatch.setattr(pins, "conf_dir", lambda: tmp_path / "conf")
    assert train("rounds=2") == 2
    assert "prompts: what superalign asks its models is another" in capsys.readouterr().err


def test_where_a_run_is_kept_who_answers_and_what_notifies_are_not_pinned() -> None:
    Path("call.sh").touch()
    Path("labels.sqlite").touch()
    expert = {"source": "queue", "store": "labels.sqlite", "notify_command": "call.sh"}
    config = Config.model_validate({"run": {"root": "rows", "name": "s.jsonl"}, "expert": expert})
    assert set(find_pins(config)) == {"model=testbed", "prompts"}


def test_models_of_a_study_are_pinned_behind_their_kind(capsys: pytest.CaptureFixture[str]) -> None:
    found = find_pins(Config(weak=("words", "probe:model@3"), strong=("lora:model", "centroids:300")))
    assert set(found) == {"model=testbed", "weak=probe:model@3", "strong=lora:model", "prompts"}
    assert len({pin.fingerprint for name, pin in found.items() if "model" in name and name != "model=testbed"}) == 1


def test_a_model_of_the_hub_is_pinned_by_its_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub.constants as hub

    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))
    refs = tmp_path / "hub" / "models--owner--name" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text("0123abcd")
    found = find_pins(Config(model="hub:owner/name", critic={"model": "hub:owner/unknown"}))  # type: ignore[arg-type]
    assert found["model=hub:owner/name"].fingerprint == "0123abcd"
    assert found["critic.model=hub:owner/unknown"].fingerprint is None


def test_adapters_on_another_base_than_they_were_trained_on_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train() == 0
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    run = RunFolder.open(tmp_path / "runs" / "t")
    assert pins.changed_models(run) == []
    change(str(tmp_path / "model" / "tokenizer.json"))
    assert pins.changed_models(run) == ["model=model"]


def test_a_run_can_be_read_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert train() == 0
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    found = RunFolder.open(tmp_path / "runs" / "t").located_config()
    assert found["model"] == str(tmp_path / "model")
    assert found["attacker"]["families"] == ["spelling", f"{tmp_path / 'family.py'}:Mine"]
