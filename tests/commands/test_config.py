"""`superalign config`: the resolved settings, and what they mean."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
import yaml

from superalign.commands import main
from superalign.config.schema import Config


def test_config_prints_yaml_that_is_the_resolved_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["config", "recipe=selfplay", "seed=5"]) == 0
    assert Config.model_validate(yaml.safe_load(capsys.readouterr().out)) == Config(seed=5)


def test_a_file_of_settings_comes_before_what_is_typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "my.yaml").write_text("seed: 3\nrounds: 2\nlearner: kto\nlearner.beta: 0.2\n")
    assert main.main(["config", str(tmp_path / "my.yaml"), "seed=5"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert (shown["seed"], shown["rounds"]) == (5, 2)
    assert (shown["learner"]["algorithm"], shown["learner"]["beta"]) == ("kto", 0.2)


def test_a_setting_is_explained_with_its_value_default_and_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["config", "--explain", "learner.beta", "learner.beta=0.3"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("learner.beta=0.3\n")
    assert "default  0.1" in shown and "the command line" in shown and "arXiv 2305.18290" in shown


@pytest.mark.parametrize("argv", [["--explain"], ["--explain", "seed=3"], ["seed=3", "--explain"]])
def test_without_a_key_every_setting_is_explained(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["config", *argv]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 100
    assert any(line.startswith("seed=3 ") for line in lines) == ("seed=3" in argv)


def test_an_unknown_key_is_not_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["config", "--explain", "learner.bta"]) == 2
    assert "did you mean learner.beta?" in capsys.readouterr().err


def test_what_an_encoding_lacks_is_escaped_so_that_the_settings_can_be_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my.yaml").write_text("run.name: größe\n", encoding="utf-8")
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding="ascii"))
    assert main.main(["config", str(tmp_path / "my.yaml")]) == 0
    assert yaml.safe_load(buffer.getvalue().decode("ascii"))["run"]["name"] == "größe"
