"""The number format that is used is one that the processor computes well."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from superalign.errors import UserError
from superalign.models import allow, chosen_dtype, load_base, precision
from superalign.models.permissions import SLOW, environment

CPU = pytest.mark.skipif(torch.cuda.is_available(), reason="of CPUs alone")


@pytest.fixture
def slowness(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets how much slower bfloat16 is, and forgets what was said."""
    monkeypatch.delenv(SLOW, raising=False)
    precision._say.cache_clear()
    return lambda value: monkeypatch.setattr(precision, "bfloat16_slowness", lambda: value)


@CPU
def test_float32_is_used_where_it_is_asked_for_and_is_the_default(slowness: Callable[[float], None]) -> None:
    slowness(0.1)
    assert chosen_dtype("float32") == "float32"
    assert load_base("testbed-small").dtype == torch.float32


@CPU
@pytest.mark.parametrize(("ratio", "chosen"), [(0.3, "bfloat16"), (1.2, "float32"), (90.0, "float32")])
def test_auto_is_what_is_faster_here_said_in_one_line(
    ratio: float, chosen: str, slowness: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    slowness(ratio)
    assert {chosen_dtype("auto") for _ in range(3)} == {chosen}
    assert [line for line in caplog.messages if f"dtype=auto: {chosen}" in line] == caplog.messages[:1]
    assert str(load_base("testbed-small", "auto").dtype) == f"torch.{chosen}"


@CPU
def test_bfloat16_is_refused_where_it_is_much_slower_unless_that_is_allowed(
    slowness: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    slowness(90.0)
    with pytest.raises(UserError, match=r"90 times as long.*models.slow_bfloat16=true") as caught:
        load_base("testbed-small", "bfloat16")
    assert "\n" not in str(caught.value)
    allow(trust_remote_code=False, slow_bfloat16=True)
    try:
        assert chosen_dtype("bfloat16") == "bfloat16"
        assert environment() == {SLOW: "1"}
    finally:
        allow(trust_remote_code=False, slow_bfloat16=False)
    slowness(2.0)
    caplog.clear()
    assert chosen_dtype("bfloat16") == "bfloat16"
    assert "2 times as long" in caplog.text


@CPU
def test_the_processor_is_measured_in_milliseconds_without_a_random_draw() -> None:
    precision.bfloat16_slowness.cache_clear()
    state = torch.random.get_rng_state()
    assert precision.bfloat16_slowness() > 0
    assert torch.equal(state, torch.random.get_rng_state())
