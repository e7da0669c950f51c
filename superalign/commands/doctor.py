"""`superalign doctor`: what this machine has and what is missing, without changing anything."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final, Literal

from superalign.commands.parser import Verbs
from superalign.config.paths import PACKAGE, groups

State = Literal["ok", "note", "bad"]
COLOURS: Final = {"ok": "green", "note": "yellow", "bad": "red"}
ROUNDS_NEED_GB: Final = 1.0


@dataclass(frozen=True)
class Finding:
    """One line of the examination; `bad` means that a run would fail."""

    state: State
    subject: str
    text: str


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    verbs.add("doctor", doctor, "check versions and devices, and say what is missing")


def doctor(_: argparse.Namespace) -> int:
    """Print every finding; returns 1 when one of them would make a run fail."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    worst: set[State] = set()
    for finding in examine():
        worst.add(finding.state)
        line = Text(f"{finding.state:<5}", style=COLOURS[finding.state])
        console.print(line.append(f"{finding.subject:<14}{finding.text}", style="default"), soft_wrap=True)
    return 1 if "bad" in worst else 0


def examine() -> Iterator[Finding]:
    """Every finding, cheap ones first."""
    yield Finding("ok", "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield from packages()
    yield from extras()
    yield configuration()
    yield from shipped_models()
    yield disk(Path.cwd())
    yield _guarded("devices", devices)
    yield _guarded("ray", ray_starts)


def packages() -> Iterator[Finding]:
    """Installed versions against those that superalign asks for."""
    if _own() is None:
        yield Finding("bad", "superalign", "is not installed here: make setup, or pip install -e .")
        return
    wrong = 0
    for name, wanted, installed in _requirements(extra=None):
        if installed is None:
            wrong += 1
            yield Finding("bad", name, f"missing; needed: {wanted or 'any version'}")
        elif not _fits(wanted, installed):
            wrong += 1
            yield Finding("bad", name, f"{installed} is installed, tested with {wanted}")
    if not wrong:
        shown = ", ".join(
            f"{name} {metadata.version(name)}" for name in ("torch", "transformers", "trl", "peft", "ray")
        )
        yield Finding("ok", "packages", shown)


def extras() -> Iterator[Finding]:
    """Optional extras that are not installed, each with what would install it."""
    for extra in _declared("Provides-Extra"):
        missing = [name for name, _, installed in _requirements(extra) if installed is None]
        if missing:
            yield Finding(
                "note", f"[{extra}]", f"not installed ({', '.join(missing)}): pip install 'superalign[{extra}]'"
            )
        else:
            yield Finding("ok", f"[{extra}]", "installed")


def configuration() -> Finding:
    """Whether conf/ and recipes/ are found."""
    from superalign.config.paths import home, recipe_path

    missing = [name for name in groups().get("recipe", {}) if not recipe_path(name).is_file()]
    if not groups() or missing:
        return Finding(
            "bad", "configuration", f"{home()} lacks {', '.join(missing) or 'conf/'}: install superalign again"
        )
    return Finding("ok", "configuration", f"{home()} (recipes: {', '.join(groups()['recipe'])})")


def shipped_models() -> Iterator[Finding]:
    """Whether the testbed's models lie in the package."""
    for name, size in (("testbed", "base"), ("testbed-small", "small")):
        folder = PACKAGE / "testbed" / "assets" / size
        needed = ("config.json", "model.safetensors", "tokenizer.json")
        missing = [file for file in needed if not (folder / file).is_file()]
        if missing:
            remedy = f"superalign testbed build --size {size}"
            yield Finding("bad", f"model={name}", f"{folder} lacks {', '.join(missing)}: {remedy}")
            continue
        megabytes = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
        yield Finding("ok", f"model={name}", f"{megabytes:.1f} MB in {folder}")


def disk(folder: Path) -> Finding:
    """Free space where runs would be kept."""
    free = shutil.disk_usage(folder).free / 1e9
    state: State = "ok" if free >= ROUNDS_NEED_GB else "note"
    return Finding(state, "disk", f"{free:.1f} GB free in {folder}")


def devices() -> Finding:
    """Processor threads and accelerators that torch can use."""
    import torch

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Finding(
        "ok", "devices", f"{cores} cores, {torch.get_num_threads()} threads; GPUs: {', '.join(gpus) or 'none'}"
    )


def ray_starts() -> Finding:
    """Whether a local Ray, as `cluster=laptop` needs it, starts and stops."""
    from superalign.config.sections import ClusterConfig
    from superalign.runtime.connection import start

    with tempfile.TemporaryDirectory() as logs, start(ClusterConfig(mode="ray"), Path(logs)):
        pass
    return Finding("ok", "ray", "a local Ray starts and stops (cluster=laptop)")


def _guarded(subject: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except Exception as error:  # an examination reports what is broken, however it breaks
        reason = str(error).strip().splitlines() or [""]
        return Finding("bad", subject, f"{type(error).__name__}: {reason[0]}")


def _own() -> metadata.PackageMetadata | None:
    try:
        return metadata.metadata("superalign")
    except metadata.PackageNotFoundError:
        return None


def _declared(field: str) -> list[str]:
    own = _own()
    return list(own.get_all(field) or ()) if own else []


def _requirements(extra: str | None) -> Iterator[tuple[str, str, str | None]]:
    from packaging.requirements import Requirement

    for line in _declared("Requires-Dist"):
        requirement = Requirement(line)
        marker = requirement.marker
        for_core = marker is None or marker.evaluate({"extra": ""})
        if for_core if extra is None else marker is not None and not for_core and marker.evaluate({"extra": extra}):
            try:
                installed: str | None = metadata.version(requirement.name)
            except metadata.PackageNotFoundError:
                installed = None
            yield requirement.name, str(requirement.specifier), installed


def _fits(wanted: str, installed: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(wanted, prereleases=True).contains(installed)
