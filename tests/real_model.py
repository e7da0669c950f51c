"""A real chat model for tests that need one: SmolLM2-135M-Instruct, or whatever SUPERALIGN_TEST_MODEL names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = "/tmp/smollm2"


def real_model() -> str:
    """Its folder; skips the test where there is none."""
    folder = os.environ.get("SUPERALIGN_TEST_MODEL", FOLDER)
    if not (Path(folder) / "config.json").is_file():
        pytest.skip(f"no real model in {folder} (SUPERALIGN_TEST_MODEL names another folder)")
    return folder
