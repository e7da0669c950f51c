"""What can be plugged in, and how it is named in settings.

A plug-in is named by a built-in name, by `module:object`, by `path/to/file.py:Name` (a recipe: by the path alone), or
by the name of an entry point `KIND.NAME` of the group `superalign`. Nothing is imported before it is asked for.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from pydantic import ValidationError

from superalign.errors import UserError, nearest

GROUP: Final = "superalign"


@dataclass(frozen=True, slots=True)
class Entry:
    """A built-in: where it is, a line for `--help`, and where its settings are if not in `Settings` of the object."""

    target: str
    help: str
    settings: str | None = None


@dataclass(frozen=True)
class Registry:
    """All plug-ins of one kind.

    Attributes:
        kind: as in the names of entry points, for example `learner`.
        setting: the setting that names one, for messages.
        protocol: `module:object` of the protocol that a plug-in must have.
        builtin: what ships with superalign, by name.
        module: whether a plug-in is a module (a recipe) and no object in one.
    """

    kind: str
    setting: str
    protocol: str
    builtin: Mapping[str, Entry] = field(default_factory=dict)
    module: bool = False

    def names(self) -> dict[str, str]:
        """Every name that needs no path, built-in or of an installed package, with a line that describes it."""
        installed = {name: f"from {point.value}" for name, point in self._entry_points().items()}
        return installed | {name: entry.help for name, entry in self.builtin.items()}

    def is_reference(self, name: str) -> bool:
        """Whether this is `module:object`, a file or an entry point, which conf/ knows nothing of."""
        return name not in self.builtin and (self._says_where(name) or name in self._entry_points())

    def load(self, name: str) -> Any:
        """The object of this name, checked against the protocol.

        Raises:
            UserError: there is none, it cannot be imported, or it lacks what the protocol asks for.
        """
        found = self.find(name)
        if missing := self.missing(found):
            raise UserError(f"{self.setting}={name} is no {self.kind}: it lacks {', '.join(missing)}")
        return found

    def make(self, name: str, plugin: Mapping[str, Mapping[str, Any]]) -> Any:
        """An instance of a plug-in that needs nothing but its settings, which are in `plugin` under its short name.

        A class without `Settings` is made without arguments; what is no class is taken as it is.

        Raises:
            UserError: as `load`; a setting is unknown or wrong.
        """
        found = self.load(name)
        if not inspect.isclass(found):
            return found
        section = getattr(found, "Settings", None)
        if section is None:
            return found()
        given = plugin.get(short_name(name), {})
        try:
            return found(section(**given))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(("plugin", short_name(name), *map(str, first["loc"])))
            raise UserError(f"{key}: {first['msg']}") from None

    def settings(self, name: str) -> Any:
        """The settings section that a plug-in brings, or None.

        Raises:
            UserError: as `load`.
        """
        entry = self.builtin.get(name)
        if entry is not None and entry.settings is not None:
            return self._object(entry.settings, name)
        return getattr(self.load(name), "Settings", None)

    def missing(self, found: Any) -> list[str]:
        """What the protocol asks for and an object does not have; methods with the parameters they must take."""
        protocol = self._object(self.protocol, self.protocol)
        return [
            text
            for name, member in _members(protocol).items()
            if (text := _lacks(found, name, member, self.module)) is not None
        ]

    def find(self, name: str) -> Any:
        """The object of this name, as it is.

        Raises:
            UserError: there is none, or it cannot be imported.
        """
        if name in self.builtin:
            return self._object(self.builtin[name].target, name)
        if name in (points := self._entry_points()):
            return self._object(points[name].value, name)
        if self._says_where(name):
            return self._object(name, name)
        known = self.names()
        raise UserError(
            f"unknown {self.setting} {name!r}{nearest(name, known)} (there is: {', '.join(known)}; or give "
            f"{'path/to/file.py or package.module' if self.module else 'package.module:Name or path/to/file.py:Name'})"
        )

    def _says_where(self, name: str) -> bool:
        """Whether a name tells file or module; a module alone names a recipe, and has a dot."""
        return ":" in name or name.endswith(".py") or (self.module and "." in name)

    def _object(self, reference: str, name: str) -> Any:
        where, _, attribute = reference.partition(":")
        module = self._module(where, name)
        if not attribute:
            if self.module:
                return module
            raise UserError(f"{self.setting}={name}: say which object of it is meant, as {name}:Name")
        if not hasattr(module, attribute):
            public = [n for n in vars(module) if not n.startswith("_")]
            raise UserError(f"{self.setting}={name}: {where} has no {attribute}{nearest(attribute, public)}")
        return getattr(module, attribute)

    def _module(self, where: str, name: str) -> ModuleType:
        try:
            return file_module(Path(where)) if where.endswith(".py") else importlib.import_module(where)
        except UserError as error:
            raise UserError(f"{self.setting}={name}: {error}") from None
        except ModuleNotFoundError as error:
            raise UserError(f"{self.setting}={name} cannot be imported: {error}") from error
        except Exception as error:  # a plug-in's own mistake, which its author finds by the line
            at = traceback.extract_tb(error.__traceback__)[-1]
            what = " ".join(str(error).split())
            line = f"{at.filename}, line {at.lineno}"
            raise UserError(
                f"{self.setting}={name} cannot be imported: {type(error).__name__}: {what} ({line})"
            ) from error

    def _entry_points(self) -> dict[str, metadata.EntryPoint]:
        prefix = f"{self.kind}."
        return {
            point.name.removeprefix(prefix): point
            for point in metadata.entry_points(group=GROUP)
            if point.name.startswith(prefix)
        }


def short_name(name: str) -> str:
    """A plug-in's name in records and reports, and under `plugin`: what stands behind the colon, if there is one."""
    return name.rpartition(":")[2]


def file_module(path: Path) -> ModuleType:
    """The module in a file, run once in a process.

    Raises:
        UserError: there is no such file.
    """
    path = path.expanduser().resolve()
    name = f"superalign_file_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise UserError(f"no such file: {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # a dataclass with postponed annotations looks its module up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _members(protocol: Any) -> dict[str, Any]:
    """The public methods and attributes that a protocol asks for, of its bases, too."""
    found: dict[str, Any] = {}
    for base in reversed(protocol.__mro__):
        if getattr(base, "_is_protocol", False):
            found |= {n: None for n in inspect.get_annotations(base) if not n.startswith("_")}
            plain = {n: getattr(m, "__func__", m) for n, m in base.__dict__.items() if not n.startswith("_")}
            found |= {n: m for n, m in plain.items() if callable(m)}
    return found


def _lacks(found: Any, name: str, member: Any, module: bool) -> str | None:
    """How a missing member, or one that cannot be called as the protocol says, is told; None where all is well."""
    asked = (
        None
        if member is None
        else [p for p in inspect.signature(member).parameters if module or p not in ("self", "cls")]
    )
    told = name if asked is None else f"{name}({', '.join(asked)})"
    if member is None:
        declared = any(name in getattr(c, "__annotations__", {}) for c in getattr(found, "__mro__", ()))
        return None if declared or hasattr(found, name) else told
    if not callable(got := getattr(found, name, None)):
        return told
    if asked is None:
        return None
    try:
        given = inspect.signature(got)
        given.bind(*([None] * (len(asked) + (inspect.isclass(found) and _takes_self(found, name)))))
    except TypeError:
        return f"{told} (it has {name}{given})"
    except ValueError:  # no signature can be told
        return None
    return None


def _takes_self(found: type, name: str) -> bool:
    return not isinstance(inspect.getattr_static(found, name), staticmethod | classmethod)


def _tasks(**lines: str) -> dict[str, Entry]:
    where = "superalign.weak_to_strong.tasks.builtin"
    classes = {"qa": "QA", "nli": "NLI"}
    return {name: Entry(f"{where}:{classes.get(name, name.title())}", line) for name, line in lines.items()}


def _methods(**lines: str) -> dict[str, Entry]:
    where = "superalign.weak_to_strong.methods"
    policies = {"generative": "Generative", "dpo": "DPO", "cw_po": "CWPO", "wspo": "WSPO"}
    targets = {name: f"{where}.preferences:{cls}" for name, cls in policies.items()}
    return {
        name: Entry(targets.get(name, f"{where}.builtin:{name.title().replace('_', '')}"), line)
        for name, line in lines.items()
    }


def _learners(**lines: str) -> dict[str, Entry]:
    classes = {"online_dpo": "OnlineDPO"}
    where = "superalign.training.algorithms"
    return {name: Entry(f"{where}.{name}:{classes.get(name, name.upper())}", line) for name, line in lines.items()}


def _families(*names: str) -> dict[str, Entry]:
    where = "superalign.attacks.families"
    return {n: Entry(f"{where}:{n.title().replace('_', '')}", n.replace("_", " ")) for n in names}


_SECTIONS: Final = "superalign.config.sections"

LEARNERS: Final = Registry(
    "learner",
    "learner",
    "superalign.training.algorithms.base:LearnerAlgorithm",
    _learners(
        dpo="DPO on noise-aware preferences of critic and experts (arXiv 2305.18290)",
        kto="KTO on single answers with soft labels (arXiv 2402.01306)",
        ppo="PPO with a value head, rewarded by the critic (arXiv 1707.06347)",
        grpo="GRPO: answers to one query against each other (arXiv 2402.03300)",
        rloo="REINFORCE against the other answers to a query (arXiv 2402.14740)",
        online_dpo="DPO on the round's pairs, then on fresh answers that the critic compares",
    ),
)
CRITICS: Final = Registry(
    "critic",
    "critic",
    "superalign.roles.protocols:Critic",
    {
        "generative": Entry(
            "superalign.roles.critic.generative:GenerativeCritic",
            "one adapter judges by the logits of its verdict words and writes critiques",
            f"{_SECTIONS}:AdapterCriticConfig",
        ),
        "classifier": Entry(
            "superalign.roles.critic.classifier:ClassifierCritic",
            "a linear head on frozen features; no words, no adapter trained",
            f"{_SECTIONS}:AdapterCriticConfig",
        ),
        "debate": Entry(
            "superalign.roles.critic.debate:DebateCritic",
            "two sides argue, a judge decides after reading both (arXiv 1805.00899)",
            f"{_SECTIONS}:AdapterCriticConfig",
        ),
        "consultancy": Entry(
            "superalign.roles.critic.debate:ConsultancyCritic",
            "the control of debate: one side argues, assigned at random",
            f"{_SECTIONS}:AdapterCriticConfig",
        ),
    },
)
ATTACKERS: Final = Registry(
    "attacker",
    "attacker",
    "superalign.roles.protocols:Attacker",
    {
        "trained": Entry(
            "superalign.roles.attacker:TrainedAttacker",
            "an adapter that rewrites seed requests and learns from what worked",
            f"{_SECTIONS}:TrainedAttackerConfig",
        )
    },
)
JUDGES: Final = Registry(
    "judge",
    "evaluation.judge",
    "superalign.roles.protocols:Judge",
    {
        "oracle": Entry("superalign.roles.judge:OracleJudge", "the testbed's exact oracle"),
        "frozen_critic": Entry("superalign.roles.judge:FrozenCriticJudge", "the critic as it was before any training"),
    },
)
FAMILIES: Final = Registry(
    "family",
    "attacker.families",
    "superalign.attacks.families:AttackFamily",
    _families(
        *("roleplay", "prefix_injection", "fiction", "splitting", "spelling", "code", "authority", "past_tense"),
    ),
)
TASKS: Final = Registry(
    "task",
    "task",
    "superalign.weak_to_strong.tasks.registry:TaskSpec",
    _tasks(
        digits="is the handwritten digit one of 1, 4, 5, 7, 9? (the vision analog)",
        qa="is the proposed answer to the question right?",
        chess="the best move; embedded: the right answer to a request",
        pairs="which of two responses is better?",
        safety="is the response to the prompt unsafe?",
        refusal="refuse what harms and answer the rest",
        toxicity="is the text toxic?",
        continuation="go on without toxicity after the first half of a text",
        nli="does the premise entail the hypothesis, contradict it, or not mention it? (contracts)",
        clauses="which type of clause is it?",
        policy="does the text of a privacy policy bear on the question?",
    ),
)
METHODS: Final = Registry(
    "method",
    "method",
    "superalign.weak_to_strong.methods.registry:Method",
    _methods(
        naive="finetune on the weak labels as they are",
        confidence="auxiliary confidence loss",
        product="targets proportional to weak times student",
        bootstrap="through students of growing size, all on half 2",
        filter="the more confident half of the labels",
        agree="labels that a cross-fitted student confirms",
        reweight="labels weighted by confidence",
        calibrate="labels calibrated on half 1",
        harden="hard labels",
        ensemble="mean of bagged supervisors",
        critic="labels fused with a critic's verdicts",
        debate="a supervisor that reads a debate",
        oracle_stop="naive, epochs chosen by the truth: an oracle, for comparison",
        generative="pairs: language modelling on the responses first",
        dpo="pairs: DPO of a policy on weak preferences",
        cw_po="pairs: DPO weighted by the supervisor's confidence",
        wspo="pairs: match the shift of an aligned weak policy",
    ),
)
SUITES: Final = Registry("suite", "evaluation.suites", "superalign.evaluation.suites:Suite")
