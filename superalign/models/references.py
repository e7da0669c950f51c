"""Model references: what users write for a model, and the folder or hub name that transformers loads of it.

| reference | is |
|---|---|
| `testbed`, `testbed-small` | the models shipped with superalign |
| `hub:OWNER/NAME` | a model of the hub |
| `fetched:NAME` | a model that `superalign fetch NAME` has brought |
| a folder | of save_pretrained; of a peft adapter, which is merged into its base; with exactly one .gguf file |
| `FILE.gguf` | a model of llama.cpp's format |
| `RUN`, `RUN:ROLE` | a run folder, or its name below `runs`: its newest adapter of the role (learner) on its base |
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from superalign.errors import UserError
from superalign.models import adapters
from superalign.models.fetched import FETCHED, fetched_file
from superalign.models.gguf import gguf_folder, is_gguf

ASSETS: Final = Path(__file__).parents[1] / "testbed" / "assets"
TESTBED: Final = ASSETS / "base"
SHIPPED = {"testbed": TESTBED, "testbed-small": ASSETS / "small"}
HUB: Final = "hub:"
HUB_NAME: Final = re.compile(r"[\w.-]+(/[\w.-]+)?")
WEIGHTS: Final = (
    *("model.safetensors", "model.safetensors.index.json"),
    *("pytorch_model.bin", "pytorch_model.bin.index.json"),
)
RUNS: Final = "runs"
RUN_FILE: Final = "format"  # every run folder has it
LEARNER: Final = "learner"
DEPTH: Final = 4  # adapters on adapters


def resolve(model: str) -> str:
    """The folder or hub name that transformers can load; what is in another form is converted once, into a cache.

    Raises:
        UserError: there is no such model, or what is there cannot be loaded; the message says what it is.
    """
    return _resolve(model, DEPTH)


def same_model(one: str, other: str) -> bool:
    """Whether two names are of one model, as a folder's relative and absolute path are."""
    return one == other or Path(resolve(one)).resolve() == Path(resolve(other)).resolve()


def is_reference(text: str) -> bool:
    """Whether this names a model: a file, a folder that is no run, `RUN:ROLE`, or a model of the hub or shipped."""
    if text in SHIPPED or text.startswith((HUB, FETCHED)) or not text.strip():
        return True  # an empty one is told so by `resolve`
    path = Path(text).expanduser()
    if path.is_dir():
        return _is_model_folder(path) or bool(list(path.glob("*.gguf")))
    return path.is_file() or _run_of(text) is not None


def _resolve(model: str, depth: int) -> str:
    if not model.strip():
        raise UserError(f"model={model}: the name is empty; {_remedy('')}")
    if model.startswith(HUB):
        name = model.removeprefix(HUB)
        if not HUB_NAME.fullmatch(name):
            raise UserError(f"model={model}: {name!r} is no hub name; write hub:OWNER/NAME, e.g. hub:Qwen/Qwen3-0.6B")
        return name
    if model.startswith(FETCHED):
        return _of_file(model, fetched_file(model))
    path = SHIPPED.get(model) or Path(model).expanduser()
    if path.is_file():
        return _of_file(model, path)
    if not path.is_dir() or ((path / RUN_FILE).is_file() and not _is_model_folder(path)):
        found = _adapter_of_run(model)
        if found is None:
            raise UserError(f"model={model}: there is no folder {path}; {_remedy(model)}")
        path = found
    return _of_folder(model, path, depth)


def _is_model_folder(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("config.json", adapters.CONFIG))


def _of_file(model: str, file: Path) -> str:
    if is_gguf(file):
        return gguf_folder(model, file)
    with open(file, "rb") as handle:
        empty = not handle.read(1)
    if empty:
        what = "an empty file"
    elif file.suffix == ".gguf":
        what = "no GGUF file, although it is called one (such files begin with GGUF)"
    elif file.suffix in (".safetensors", ".bin", ".pt", ".pth"):
        what = "a file of weights alone: give the folder with its config.json and tokenizer"
    else:
        what = "a file of another kind"
    raise UserError(f"model={model}: {file} is {what}; {_remedy('')}")


def _of_folder(model: str, folder: Path, depth: int) -> str:
    if (folder / "config.json").is_file() and any((folder / name).is_file() for name in WEIGHTS):
        return str(folder)
    if (folder / adapters.CONFIG).is_file():
        return adapters.merged_folder(model, folder, _base(model, folder, depth))
    converted = sorted(folder.glob("*.gguf"))
    if len(converted) == 1:
        return _of_file(model, converted[0])
    if converted:
        names = ", ".join(path.name for path in converted)
        raise UserError(f"model={model}: {folder} has several GGUF files ({names}): name one of them")
    if any((folder / name).is_file() for name in adapters.WEIGHTS):
        raise UserError(f"model={model}: {folder} is an adapter without {adapters.CONFIG}, which names its base")
    if not (folder / "config.json").is_file():
        raise UserError(f"model={model}: {folder} has no config.json; {_remedy(model)}")
    raise UserError(f"model={model}: {folder} has no weights (model.safetensors); {_remedy(model)}")


def _base(model: str, folder: Path, depth: int) -> str:
    """The base of an adapter: a reference, a path from its folder, or, as peft writes it, a hub name without `hub:`."""
    named = adapters.base_of(model, folder)
    if depth == 0:
        raise UserError(f"model={model}: {folder} is an adapter on an adapter on an adapter, without end")
    beside = folder / named
    if beside.is_dir():
        return _resolve(str(beside), depth - 1)
    if named in SHIPPED or named.startswith((HUB, FETCHED)) or Path(named).expanduser().exists():
        return _resolve(named, depth - 1)
    if HUB_NAME.fullmatch(named):
        return named
    raise UserError(
        f"model={model}: {folder} is an adapter on {named}, which is not here: bring it there, or change "
        f"base_model_name_or_path in its {adapters.CONFIG}"
    )


def _adapter_of_run(model: str) -> Path | None:
    """The folder of a run's newest adapter; None where there is no such run.

    Raises:
        UserError: the run has no adapter of that role.
    """
    if (found := _run_of(model)) is None:
        return None
    run, role = found
    configs = sorted(run.glob(f"rounds/*/adapters/{role}/{adapters.CONFIG}"), key=_round)
    if not configs:
        roles = sorted({path.name for path in run.glob("rounds/*/adapters/*")})
        there = f"it has {', '.join(roles)}" if roles else "it has committed no round with adapters"
        raise UserError(f"model={model}: {run} is a run without an adapter of {role!r}; {there}")
    return configs[-1].parent


def _run_of(model: str) -> tuple[Path, str] | None:
    """The folder and the role that `RUN` or `RUN:ROLE` names."""
    for name, role in ((model, LEARNER), (model.rpartition(":")[0], model.rpartition(":")[2])):
        for run in (Path(name).expanduser(), Path(RUNS) / name) if name else ():
            if (run / RUN_FILE).is_file():
                return run, role
    return None


def _round(config: Path) -> int:
    name = config.parents[2].name
    return int(name) if name.isdecimal() else -1


def _remedy(model: str) -> str:
    if model in SHIPPED:
        return f"run `superalign testbed build --size {SHIPPED[model].name}`"
    forms = ("a folder of save_pretrained or of an adapter", "FILE.gguf", "a run", "`testbed`", f"{FETCHED}NAME")
    known = f"give {', '.join(forms)}, or {HUB}OWNER/NAME"
    return f"{known} (did you mean {HUB}{model}?)" if HUB_NAME.fullmatch(model) else known
