"""`superalign generate`: talk to a role of a run, or to a bare model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from superalign.commands.parser import Verbs, not_negative, positive, seed


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = verbs.add("generate", generate, "talk to a role of a run, or to a model")
    parser.add_argument("target", metavar="RUN|MODEL")
    parser.add_argument("--role", default="learner", choices=("attacker", "critic", "learner"))
    parser.add_argument("--prompt", help="one request; without it, a conversation on standard input")
    parser.add_argument("--max-new-tokens", type=positive, default=128)
    parser.add_argument("--temperature", type=not_negative, default=0.0, help="of sampling; 0, the default, is greedy")
    parser.add_argument("--seed", type=seed, default=0)


def generate(arguments: argparse.Namespace) -> int:
    """Print the answer to the prompt, or to every line of standard input.

    Raises:
        UserError: see `open_target`.
    """
    from superalign.commands.target import open_target
    from superalign.generation.base import GenerationRequest
    from superalign.models import load_chat

    config, generator, _ = open_target(arguments.target)
    chat, limit = load_chat(config.model_of(arguments.role)), arguments.max_new_tokens
    for text in [arguments.prompt] if arguments.prompt is not None else _lines():
        ids = tuple(chat.prompt_ids([{"role": "user", "content": text}], limit))
        request = GenerationRequest(arguments.role, ids, limit, arguments.temperature)
        print(generator.generate([request], arguments.seed)[0].text, flush=True)
    return 0


def _lines() -> Iterator[str]:
    while True:
        if sys.stdin.isatty():
            print("> ", end="", flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        if line.strip():
            yield line.strip()
