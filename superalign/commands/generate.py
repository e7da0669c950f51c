"""`superalign generate`: have a role of a run, or of a bare model, do what it does in the loop."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from superalign.commands.parser import Verbs, not_negative, positive, seed
from superalign.errors import UserError

if TYPE_CHECKING:
    from superalign.config.schema import Config
    from superalign.generation.base import Generator
    from superalign.store.folder import RunFolder

ROLES: Final = ("attacker", "critic", "learner")
LEARNER: Final = "learner"
LONGEST: Final = 128  # answer of the learner, in tokens


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = verbs.add("generate", generate, "have a role of a run, or of a model, answer, judge or attack")
    parser.add_argument("target", metavar="RUN|RUN:ROLE|MODEL")
    parser.add_argument(
        "--role",
        choices=ROLES,
        help=f"learner: answers; critic: judges --answer; attacker: rewrites the request (default: {LEARNER})",
    )
    parser.add_argument("--prompt", help="one request; without it, a conversation on standard input")
    parser.add_argument("--answer", metavar="TEXT", help="critic: the answer to the prompt that it judges")
    parser.add_argument(
        "--max-new-tokens", type=positive, help=f"default: {LONGEST}; of critic and attacker, what the settings say"
    )
    parser.add_argument(
        "--temperature",
        type=not_negative,
        help="of sampling, 0 is greedy (default: 0; of the attacker, what the settings say)",
    )
    parser.add_argument("--seed", type=seed, default=0)


def generate(arguments: argparse.Namespace) -> int:
    """Print what the role makes of the prompt, or of every line of standard input.

    Raises:
        UserError: see `open_target`; an answer is missing, or given to a role that judges none.
    """
    from superalign.commands.target import open_target, split_role

    target, named = split_role(arguments.target)
    if named and arguments.role and named != arguments.role:
        raise UserError(f"{arguments.target} names the role {named}, and --role {arguments.role} another: give one")
    role = arguments.role or named or LEARNER
    if (role == "critic") != (arguments.answer is not None):
        raise UserError(
            "--role critic judges an answer: give --answer TEXT beside --prompt TEXT, the request that it answers"
            if role == "critic"
            else f"--answer is what --role critic judges; --role {role} takes none"
        )
    if role == "critic" and arguments.prompt is None:
        raise UserError("--answer needs --prompt TEXT, the request that it answers")
    config, generator, run = open_target(target)
    kinds: dict[str, type[_Learner | _Critic | _Attacker]] = {
        "learner": _Learner,
        "critic": _Critic,
        "attacker": _Attacker,
    }
    speak = kinds[role](config, generator, run, arguments)
    for text in [arguments.prompt] if arguments.prompt is not None else _lines():
        for line in speak.on(text):
            print(line, flush=True)
    return 0


class _Learner:
    """Answers."""

    def __init__(self, config: Config, generator: Generator, run: RunFolder | None, asked: argparse.Namespace) -> None:
        from superalign.models import load_chat

        self.generator, self.asked = generator, asked
        self.chat = load_chat(config.model_of(LEARNER))

    def on(self, text: str) -> Iterator[str]:
        """The answer to a request."""
        from superalign.generation.base import GenerationRequest
        from superalign.prompts import library

        limit, heat = self.asked.max_new_tokens or LONGEST, self.asked.temperature or 0.0
        ids = tuple(self.chat.prompt_ids(library.respond(text), limit))
        yield self.generator.generate([GenerationRequest(LEARNER, ids, limit, heat)], self.asked.seed)[0].text


class _Critic:
    """Judges an answer, calibrated as at the end of the run, and says why if it can."""

    def __init__(self, config: Config, generator: Generator, run: RunFolder | None, asked: argparse.Namespace) -> None:
        from superalign.roles.critic.registry import critic_class
        from superalign.store.adapters import load_memory

        self.asked, self.calibrated = asked, run is not None
        if asked.max_new_tokens:
            config = _changed(config, "critic", max_new_tokens=asked.max_new_tokens)
        self.critic = critic_class(config)(config, generator, None)
        if run is not None:
            self.critic.restore(load_memory(run)["critic"], [])

    def on(self, text: str) -> Iterator[str]:
        """Probability, verdict and critique of the answer to a request."""
        from superalign.records import Query, Response, content_id
        from superalign.roles.protocols import WritesCritiques
        from superalign.stats.format import number

        query = Query(content_id("query", text), "", text, "benign", "general", "plain", "static", 0)
        said = content_id("response", text, self.asked.answer)
        response = Response(said, query.id, self.asked.answer, (), (), (), "sample", 0)
        (point,) = self.critic.judge_points([(query, response)], self.asked.seed)
        how = "" if self.calibrated else " (of a model that no label calibrated)"
        yield f"probability  {number(point.p, '%')} acceptable{how}"
        verdict = "acceptable" if point.p >= 0.5 else "not acceptable"
        unsure = f", but it abstains: too near to even (critic.abstain={self.critic.config.abstain:g})"
        yield f"verdict      {verdict}{unsure if point.abstained else ''}"
        if isinstance(self.critic.critic, WritesCritiques):
            (critique,) = self.critic.critique([(query, response)], [point], self.asked.seed)
            yield f"critique     {critique.text}"
        else:
            yield f"critique     none: critic={self.critic.kind} writes none"


class _Attacker:
    """Rewrites a request, taken for a seed of the loop."""

    def __init__(self, config: Config, generator: Generator, run: RunFolder | None, asked: argparse.Namespace) -> None:
        from superalign.store.adapters import load_memory

        self.generator, self.asked = generator, asked
        changes = {"max_new_tokens": asked.max_new_tokens, "temperature": asked.temperature}
        self.config = _changed(config, "attacker", **{k: v for k, v in changes.items() if v is not None})
        self.memory = load_memory(run).get("attacker") if run is not None else None

    def on(self, text: str) -> Iterator[str]:
        """Each rewriting of a request with its tactic."""
        written = self._written(self.config, text)
        if not written:
            yield "none of its rewritings keeps what the request asks: the loop would ask none of these"
            written = self._written(_changed(self.config, "attacker", faithful=0.0), text)
        for query in written:
            yield f"[{query.tactic}] {query.text}"

    def _written(self, config: Config, text: str) -> list[Any]:
        from superalign.records import Seed, content_id
        from superalign.roles.attacker import make_attacker

        attacker = make_attacker(config, self.generator, None)
        if self.memory is not None:
            attacker.restore(self.memory)
        asked = Seed(content_id("seed", text), text, "harmful", "general", "train")
        return attacker.rewrite([asked], 1, self.asked.seed)


def _changed(config: Config, section: str, **values: Any) -> Config:
    """The settings with other values in a section, of those that it has."""
    own = getattr(config, section)
    known = {name: value for name, value in values.items() if name in type(own).model_fields}
    return config.model_copy(update={section: own.model_copy(update=known)})


def _lines() -> Iterator[str]:
    while True:
        if sys.stdin.isatty():
            print("> ", end="", flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        if line.strip():
            yield line.strip()
