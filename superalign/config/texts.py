"""The prompts and the policy that the settings name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from superalign.config.paths import conf_dir
from superalign.config.schema import Config
from superalign.errors import UserError, nearest
from superalign.models import SHIPPED, resolve
from superalign.prompts.files import load_policy, load_prompts
from superalign.prompts.library import Prompts
from superalign.prompts.policy import Policy

AUTO: Final = "auto"
TOKENIZER: Final = "tokenizer.json"
OF_TESTBED: Final = {"prompts": "testbed", "policy": "acceptable"}
OF_OTHERS: Final = {"prompts": "chat", "policy": "safety"}
"""What `auto` is for the models that ship, and for all others."""


def prompts_of(config: Config) -> Prompts:
    """What roles are asked (`prompts=`).

    Raises:
        UserError: there are no such prompts, or something is wrong in them.
    """
    return load_prompts(_file("prompts", chosen("prompts", config), "prompts"), conf_dir() / "prompts")


def policy_of(config: Config) -> Policy:
    """What "acceptable" means (`policy=`).

    Raises:
        UserError: there is no such policy, or something is wrong in it.
    """
    return policy_named(chosen("policy", config))


def policy_named(name: str, setting: str = "policy") -> Policy:
    """The policy that ships under a name, or that is in a file.

    Raises:
        UserError: as `policy_of`; the message names the setting.
    """
    return load_policy(_file("policy", name, setting), conf_dir() / "policy")


def policy_of_run(settings: Mapping[str, Any]) -> Policy | None:
    """That of a run by the settings that it keeps; None of one from before there were policies.

    Raises:
        UserError: see `policy_of`.
    """
    if "policy" not in settings:
        return None
    return policy_of(Config.model_construct(policy=settings["policy"], model=settings["model"]))


def prompts_of_testbed() -> Prompts:
    """The dialect of the models that ship."""
    folder = conf_dir() / "prompts"
    return load_prompts(folder / f"{OF_TESTBED['prompts']}.yaml", folder)


def chosen(setting: str, config: Config) -> str:
    """The name or file that a setting stands for, `auto` resolved."""
    named: str = getattr(config, setting)
    if named != AUTO:
        return named
    return (OF_TESTBED if _ships(config.model) else OF_OTHERS)[setting]


def _ships(model: str) -> bool:
    """Whether a model is one of those that ship, or was trained from one: it has their tokenizer."""
    if model in SHIPPED:
        return True
    mine, theirs = Path(resolve(model)) / TOKENIZER, next(iter(SHIPPED.values())) / TOKENIZER
    return mine.is_file() and theirs.is_file() and mine.read_bytes() == theirs.read_bytes()


def _file(kind: str, name: str, setting: str) -> Path:
    folder = conf_dir() / kind
    shipped = folder / f"{name}.yaml"
    if shipped.is_file():
        return shipped
    path = Path(name).expanduser()
    if not path.is_file():
        names = sorted(found.stem for found in folder.glob("*.yaml"))
        raise UserError(
            f"{setting}={name}: there is no such file, and none that ships has this name ({', '.join(names)})"
            f"{nearest(name, names)}"
        )
    return path.resolve()
