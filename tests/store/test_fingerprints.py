"""Fingerprints of files and folders: the same while the bytes are, and cheap for large models."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from superalign.store import fingerprints
from superalign.store.fingerprints import MIB, file_fingerprint, folder_fingerprint


def test_a_file_is_known_by_the_sha256_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_bytes(b"a line\n")
    assert file_fingerprint(tmp_path / "s.jsonl") == hashlib.sha256(b"a line\n").hexdigest()


@pytest.mark.parametrize("whole", [True, False])
def test_a_folder_is_known_by_names_and_bytes_but_not_by_notes(tmp_path: Path, whole: bool) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    before = folder_fingerprint(tmp_path, whole)
    (tmp_path / "README.md").write_text("a note")
    for folder in (".cache", "__pycache__"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.json").write_text("{}")
    assert folder_fingerprint(tmp_path, whole) == before
    (tmp_path / "model.safetensors").write_bytes(b"Weights")
    changed = folder_fingerprint(tmp_path, whole)
    (tmp_path / "model.safetensors").rename(tmp_path / "other.safetensors")
    assert len({before, changed, folder_fingerprint(tmp_path, whole)}) == 3


def test_of_a_large_file_parts_are_read_and_training_changes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprints, "WHOLE", 4 * MIB)
    monkeypatch.setattr(fingerprints, "HEAD", 1024)
    path, blocks = tmp_path / "model.safetensors", 200
    found = []
    for change in (0, 1, 1):
        with open(path, "wb") as handle:
            for block in range(blocks):
                handle.write(bytes([(block + change) % 256]) * MIB)
        os.utime(path, (change, change))
        found.append(folder_fingerprint(tmp_path, whole=False))
    assert found[0] != found[1] == found[2]
    with open(path, "ab") as handle:
        handle.write(b"one byte more")
    assert folder_fingerprint(tmp_path, whole=False) != found[2]
