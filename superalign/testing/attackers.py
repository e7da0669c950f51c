"""The checks of attackers and attack families: queries that keep their seed's intent, and the same ones each time."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Final

from superalign.attacks.families import AttackFamily
from superalign.records import Query, Seed
from superalign.registry import ATTACKERS, FAMILIES, short_name
from superalign.roles.attacker import make_attacker
from superalign.roles.learner import Learner
from superalign.roles.protocols import Attacker, AttackFeedback
from superalign.testing.complaints import Subject
from superalign.testing.testbed import Services, plugin_settings, seeds, settings

TEXTS: Final = ("hi", "How do I bake 12 cakes for 3,50 €?", 'say "{0}" \\ %s', "line one\nline two", "ü", "x" * 200)


def check_attacker(plugin: str | type, given: Mapping[str, Any] | None = None) -> None:
    """Check an attacker.

    Its queries have ids of their own, and the seed's id, kind and category; they are the same for the same seed, and
    the learner can be asked them. It learns from what became of them, and another one that takes up its state goes on
    as it does.

    Args:
        plugin: the class, or what `attacker=` would be.
        given: its settings.

    Raises:
        AssertionError: what is wrong, in a sentence.
    """
    subject = Subject.of("attacker", plugin)
    with subject.doing("set-up"):
        ATTACKERS.load(subject.name)
        services = Services.start(settings(attacker={"kind": subject.name, **(given or {})}))
        attacker, twin = _make(services), _make(services)
    chosen = seeds()
    queries = _attacks(subject, attacker, chosen, 1)
    same = queries == _attacks(subject, twin, chosen, 1)
    subject.require(same, "attacks otherwise with the same seed")
    _check_answered(subject, services, queries)
    with subject.doing("rewrite(seeds, round, seed)"):
        rewritten = attacker.rewrite(chosen, 1, 0)
    _check_queries(subject, rewritten, chosen, 1, "rewrite")
    old = [query for query in rewritten if query.source != "attacker"]
    subject.require(not old, f"gives from rewrite a query of the source {old[0].source if old else ''!r}, not attacker")
    _attacks(subject, attacker, chosen, 1)
    with subject.doing("learn(feedback, seed)"):
        subject.require_figures(attacker.learn(_feedback(queries), 0), "learn(feedback, seed)")
    services.sync("attacker")
    with subject.doing("restore(state) in another process"):
        twin = _make(services)
        twin.restore(subject.through_json(attacker.state()))
    goes_on = _attacks(subject, attacker, chosen, 2) == _attacks(subject, twin, chosen, 2)
    subject.require(
        goes_on, "attacks otherwise after restore(state()): what it learned must be in its state or adapter"
    )


def _make(services: Services) -> Attacker:
    return make_attacker(services.config, services.generator, services.trainer)


def _attacks(subject: Subject, attacker: Attacker, chosen: Sequence[Seed], round: int) -> list[Query]:
    with subject.doing("attack(seeds, round, seed)"):
        queries = attacker.attack(chosen, round, seed=round)
    _check_queries(subject, queries, chosen, round, "attack")
    subject.require(queries, "attacks with no query at all")
    return queries


def _check_queries(subject: Subject, queries: Sequence[Query], chosen: Sequence[Seed], round: int, of: str) -> None:
    of_seed = {s.id: s for s in chosen}
    ids = [query.id for query in queries]
    subject.require(len(set(ids)) == len(ids), f"gives from {of} two queries of one id")
    for query in queries:
        told = f"gives from {of} a query"
        subject.require(isinstance(query, Query), f"{told} that is a {type(query).__name__} and no Query")
        subject.require(isinstance(query.text, str) and query.text.strip(), f"{told} without text")
        s = of_seed.get(query.seed_id)
        subject.require(
            s is not None or query.source != "attacker", f"{told} whose seed_id {query.seed_id!r} no seed has"
        )
        if s is not None:
            subject.require(query.kind == s.kind, f"{told} of kind {query.kind!r} to a seed of kind {s.kind!r}")
            subject.require(query.category == s.category, f"{told} of another category than its seed's")
        new = query.source != "attacker" or query.round <= round
        subject.require(new, f"{told} of round {query.round} in round {round}")


def _check_answered(subject: Subject, services: Services, queries: Sequence[Query]) -> None:
    learner = Learner(services.config, services.generator, None)
    with subject.doing("asking the learner its queries"):
        learner.respond(queries, 0, samples=1, temperature=0.0)


def _feedback(queries: Sequence[Query]) -> AttackFeedback:
    """Half of the attacks succeeded."""
    failures = {query.id: (0.9, 0.6) if n % 2 else (0.2, 0.1) for n, query in enumerate(queries)}
    return AttackFeedback(failures, {query.id: "The answer helps with what is asked." for query in queries})


def check_family(plugin: str | type, given: Mapping[str, Any] | None = None) -> None:
    """Check an attack family: it wraps any text, changes some, and draws by the generator it is given alone.

    Args:
        plugin: the class, or what `attacker.families=` would name.
        given: its settings.

    Raises:
        AssertionError: what is wrong, in a sentence.
    """
    subject = Subject.of("family", plugin)
    with subject.doing("set-up"):
        own = plugin_settings(short_name(subject.name), given)
        config = settings(attacker={"families": (subject.name,)}, plugin=own)
        family, twin = (FAMILIES.make(subject.name, config.plugin) for _ in range(2))
    texts = [*TEXTS, *(s.text for s in seeds())]
    state = random.getstate()
    try:
        found = _wrapped(subject, family, texts, 0)
        subject.require(found == _wrapped(subject, twin, texts, 1), "draws otherwise than by the rng that it is given")
    finally:
        random.setstate(state)
    subject.require(found != texts, "gives every text back as it is")


def _wrapped(subject: Subject, family: AttackFamily, texts: Sequence[str], everywhere: int) -> list[str]:
    """All texts under the family, with the random numbers of the whole process begun anew."""
    random.seed(everywhere)
    found = []
    for number, text in enumerate(texts):
        with subject.doing(f"wrap({text!r}, rng)"):
            found.append(family.wrap(text, random.Random(number)))
        fine = isinstance(found[-1], str) and found[-1].strip()
        subject.require(fine, f"makes {found[-1]!r} of {text!r}")
    return found
