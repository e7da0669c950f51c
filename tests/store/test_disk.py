"""What a disk refuses is told as a user's problem."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from superalign.errors import UserError
from superalign.store.disk import refused_writes_are_user_errors


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_run_that_may_not_be_written_is_one_line(number: int, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    with pytest.raises(UserError) as told, refused_writes_are_user_errors(tmp_path, "writing the report"):
        raise OSError(number, os.strerror(number), str(path))
    assert str(told.value).startswith(f"{os.strerror(number)} for {path} while writing the report: ")
    assert f"the owner of {tmp_path}" in str(told.value)


def test_what_may_not_be_written_elsewhere_passes_unchanged(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), refused_writes_are_user_errors(tmp_path, "writing the report"):
        raise PermissionError(errno.EACCES, "Permission denied", "/etc/shadow")
