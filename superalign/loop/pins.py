"""What a run depends on beside its settings: found from these, for `superalign.store.pins` to compare."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from superalign import prompts
from superalign.config.paths import conf_dir
from superalign.config.schema import Config
from superalign.data import demo
from superalign.errors import UserError
from superalign.models import HUB, SHIPPED, resolve
from superalign.store.fingerprints import file_fingerprint, folder_fingerprint
from superalign.store.folder import RunFolder
from superalign.store.pins import Pin
from superalign.store.run_lock import FREE_SECTIONS

SPECS: Final = frozenset({"weak", "strong"})  # KIND:MODEL, or KIND:MODEL@LAYER
DATA: Final = (
    *("data.seeds", "data.source", "attacker.attacks", "attacker.demonstrations", "attacker.known"),
    *("evaluation.requests.", "evaluation.choices.", "evaluation.texts."),
)
"""Settings, or the beginnings of their names, that name data: files, folders or data sets of the hub."""
RUNS: Final = frozenset({"learner.reward"})
UNREAD: Final = frozenset({"expert.store", "expert.notify_command"})  # files that no result depends on
HUB_TIMEOUT_S: Final = 5.0
PROMPTS: Final = "prompts"
TEXTS: Final = ("prompts", "policy")  # folders of conf/


def find_pins(config: Config) -> dict[str, Pin]:
    """Seeds and other data, model weights, the files that settings name, and the prompts of this version.

    Any setting that names an existing file is pinned, be it a constitution, a policy, labels or a plug-in
    (`file.py:Name`). Files that ship with superalign and make prompts are pinned together. Nothing is refused here:
    what cannot be read is told by whoever reads it.
    """
    found = {}
    for key, value in _words(config.model_dump(mode="json")):
        if key in UNREAD or key.partition(".")[0] in FREE_SECTIONS:
            continue
        if (pin := _pin(key, value)) is not None:
            found[f"{key}={value}"] = pin
    return {**found, PROMPTS: _prompts()}


def _words(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text among nested settings with its dotted key, those of a list one by one."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _words(inner, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list):
        for inner in value:
            yield from _words(inner, key)
    elif isinstance(value, str) and value:
        yield key, value


def _pin(key: str, value: str) -> Pin | None:
    try:
        if _is_model(key):
            return _model(value)
        if key in SPECS:
            return _model(value.partition(":")[2].rpartition("@")[0] or value.partition(":")[2])
        if key in RUNS:
            return _run(value)
        if _is_data(key) and value.startswith(HUB):
            return Pin("the data set on the hub", None, _commit(value.removeprefix(HUB), "dataset"))
        if key in demo.SETTINGS and value == demo.DEMO:
            return Pin("the file", None, file_fingerprint(demo.path(demo.SETTINGS[key])))
        path = Path(value.partition(":")[0] if ".py:" in value else value).expanduser()
        if path.is_file() and (path.suffix or _is_data(key)):
            return Pin("the file", str(path.resolve()), file_fingerprint(path))
        if _is_data(key) and path.is_dir():
            return Pin("the folder", str(path.resolve()), folder_fingerprint(path))
    except (UserError, OSError, ValueError):  # its reader tells what is wrong with it
        pass
    return None


def _is_data(key: str) -> bool:
    return any(key == name or (name.endswith(".") and key.startswith(name)) for name in DATA)


def changed_models(run: RunFolder) -> list[str]:
    """Which models are others than the run's adapters were trained on; those of the hub are not asked for."""
    found = []
    for name, pin in run.pinned().pins.items():
        key, _, value = name.partition("=")
        if _is_model(key) and not value.startswith(HUB):
            now = _pin(key, pin.path or value)
            if (
                now is not None
                and None not in (now.fingerprint, pin.fingerprint)
                and now.fingerprint != pin.fingerprint
            ):
                found.append(name)
    return found


def _is_model(key: str) -> bool:
    return key == "model" or key.endswith(".model")


def _model(model: str) -> Pin | None:
    """By the files that transformers loads of it; of the hub by its commit."""
    if not model:
        return None
    where, given = resolve(model), Path(model).expanduser()
    path = Path(where)
    if not path.exists():
        return Pin("the model on the hub", None, _commit(where, "model"))
    there = str(given.resolve()) if model not in SHIPPED and given.exists() else None
    known = file_fingerprint(path) if path.is_file() else folder_fingerprint(path, whole=False)
    return Pin("the model", there, known)


def _run(run: str) -> Pin:
    """Of a run whose last round is used, by the digests of that round."""
    folder = RunFolder.open(run)
    digests = folder.round_path(folder.last_round() or 0) / "digests.json"
    return Pin("the last round of that run", str(folder.folder.resolve()), file_fingerprint(digests))


def _commit(name: str, kind: Literal["model", "dataset"]) -> str | None:
    """The commit that the hub has now, or else the one that is in its cache here; None where neither can be told."""
    from huggingface_hub import HfApi
    from huggingface_hub.constants import HF_HUB_CACHE

    name = "/".join(name.split("/")[:2])  # of a data set, its configuration may follow
    try:
        found: str | None = HfApi().repo_info(name, repo_type=kind, timeout=HUB_TIMEOUT_S).sha
        return found
    except Exception:  # offline, gated, or no such name: each library below raises its own
        cached = Path(HF_HUB_CACHE) / f"{kind}s--{name.replace('/', '--')}" / "refs" / "main"
        return cached.read_text(encoding="utf-8").strip() if cached.is_file() else None


def _prompts() -> Pin:
    """What makes prompts in this version: `superalign/prompts`, and the texts in conf/ that go into them."""
    files = [*conf_dir().glob("*.txt"), *(path for folder in TEXTS for path in (conf_dir() / folder).rglob("*.yaml"))]
    known = [f"{path.name} {file_fingerprint(path)}" for path in sorted(files, key=lambda path: path.name)]
    told = "\n".join([folder_fingerprint(Path(prompts.__file__).parent), *known])
    return Pin("what superalign asks its models", None, hashlib.sha256(told.encode()).hexdigest())
