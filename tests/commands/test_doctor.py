"""`superalign doctor`."""

from __future__ import annotations

import pytest

from superalign.commands import main


def test_doctor_names_what_is_missing_and_exits_accordingly(capsys: pytest.CaptureFixture[str]) -> None:
    code = main.main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    found = {line.split()[1]: line.split()[0] for line in lines}
    assert {"python", "disk", "devices", "ray"} <= found.keys()
    assert (found["devices"], found["ray"]) == ("ok", "ok"), lines
    assert code == (1 if any(line.startswith("bad") for line in lines) else 0)
