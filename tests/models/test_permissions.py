"""What settings allow models to do holds in every process of a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from superalign.config.compose import load, restore
from superalign.config.sections import ClusterConfig
from superalign.models import allow, may_run_code
from superalign.models.permissions import CODE, SLOW, environment
from superalign.runtime.connection import start
from tests.runtime.parts import Counter


@pytest.fixture(autouse=True)
def nothing_allowed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Before and after."""
    for name in (CODE, SLOW):
        monkeypatch.delenv(name, raising=False)
    yield
    allow(trust_remote_code=False, slow_bfloat16=False)


def test_nothing_is_allowed_unless_it_is_asked_for() -> None:
    load([])
    assert not may_run_code() and environment() == {}


def test_settings_and_the_environment_allow_and_the_next_settings_take_it_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = load(["models.trust_remote_code=true", "models.slow_bfloat16=true"]).model_dump(mode="json")
    assert environment() == {CODE: "1", SLOW: "1"}
    load([])
    assert environment() == {}
    restore(stored, "a run")
    assert may_run_code()
    load([])
    monkeypatch.setenv(CODE, "1")
    assert may_run_code()


def test_actors_may_do_what_the_settings_allow(tmp_path: Path) -> None:
    load(["models.trust_remote_code=true"])
    with start(ClusterConfig(mode="ray"), tmp_path) as cluster:
        service = cluster.spawn("service", Counter)
        cluster.ready()
        assert service.apply(lambda _: may_run_code())
