"""`superalign fetch`."""

from __future__ import annotations

from pathlib import Path

import pytest

from superalign.commands import main
from tests.wheels_made import publish


def test_only_the_path_of_the_file_goes_to_standard_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = publish(tmp_path / "index", "small", [b"GGUF one"], monkeypatch)
    assert main.main(["fetch", "small", "--to", str(tmp_path / "mine")]) == 0
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'mine' / 'small.gguf'}\n"
    assert said.err.splitlines()[0] == "small: made for a test"
    assert Path(said.out.strip()).read_bytes() == whole


def test_a_wrong_name_ends_with_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["fetch", "gemma"]) == 2
    assert capsys.readouterr().err.startswith("superalign: unknown model 'gemma' to fetch")
