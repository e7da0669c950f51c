"""What the checks use of the testbed: settings, services of its smaller model, requests, and answers of every kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Final, get_args

from superalign.config.compose import restore
from superalign.config.schema import Config
from superalign.experts.items import Item
from superalign.generation.hf import HFGenerator
from superalign.models import load_chat
from superalign.prompts import library
from superalign.records import ExpertLabel, JudgementKind, Query, Response, Seed, content_id
from superalign.roles.protocols import Case, Outcome
from superalign.store.adapters import TRAINED
from superalign.testbed import oracle, world
from superalign.testbed.corpus import Corpus
from superalign.training.service import TrainingService

MODEL: Final = "testbed-small"
KINDS: Final[tuple[Outcome, ...]] = get_args(Outcome)


def settings(**sections: Any) -> Config:
    """Settings of a small run in this process, with sections of its own.

    Raises:
        UserError: a setting is unknown or wrong.
    """
    inline = {"mode": "inline", "threads": 1}
    return restore({"model": MODEL, "rounds": 1, "cluster": inline, **sections}, "settings")


@dataclass(frozen=True)
class Services:
    """The services that the roles of a run share."""

    config: Config
    generator: HFGenerator
    trainer: TrainingService

    @classmethod
    def start(cls, config: Config) -> Services:
        """Load the models of a run."""
        models = {role: config.model_of(role) for role in TRAINED}
        served = {**models, "judge": models["critic"]}
        return cls(
            config,
            HFGenerator(served, config.lora, config.generator, threads=1),
            TrainingService(models, config.lora, threads=1),
        )

    def sync(self, role: str) -> None:
        """Serve what was trained."""
        self.generator.load_adapter(role, self.trainer.adapter(role), self.trainer.version(role))


@cache
def seeds(count: int = 8) -> tuple[Seed, ...]:
    """Requests to attack, harmful and benign in turn."""
    found = [s for s in world.seeds(0, 120) if s.split == "train"]
    kinds = ([s for s in found if s.kind == kind] for kind in ("harmful", "benign"))
    return tuple(s for pair in zip(*kinds, strict=False) for s in pair)[:count]


def queries(count: int = 8) -> list[Query]:
    """The requests as they are."""
    return [
        Query(content_id("plain", s.id), s.id, s.text, s.kind, s.category, "plain", "static", 1) for s in seeds(count)
    ]


def cases(count: int = 8, kinds: Sequence[Outcome] = KINDS) -> list[Case]:
    """An answer of every kind to each request, with the tokens that the learner would have generated."""
    corpus, chat, out = Corpus(0), load_chat(MODEL), []
    for query in queries(count):
        request = oracle.parse(query.text)
        assert request is not None
        prompt = tuple(chat.prompt_ids(library.respond(query.text)))
        for kind in kinds:
            text = corpus.response(request, kind)
            ids = tuple(chat.closed(chat.encode(text)))
            identity = content_id("response", query.id, kind, text)
            out.append((query, Response(identity, query.id, text, prompt, ids, (-1.0,) * len(ids), "sample", 0)))
    return out


def couples(cases: Sequence[Case]) -> list[tuple[Query, Response, Response]]:
    """Each two neighbours among the cases that answer one request."""
    return [(query, first, second) for (query, first), (other, second) in pairwise(cases) if other is query]


def labelled(cases: Sequence[Case]) -> list[tuple[Item, ExpertLabel]]:
    """What the oracle says of each case and each couple, as labels of an expert."""
    return [_label(*each) for each in (*((query, answer, None) for query, answer in cases), *couples(cases))]


def _label(query: Query, first: Response, second: Response | None) -> tuple[Item, ExpertLabel]:
    if second is None:
        kind: JudgementKind = "point"
        value = oracle.acceptable(query.text, first.text)
    else:
        a, b = (oracle.score(query.text, answer.text) for answer in (first, second))
        kind, value = "pair", 0.5 if a == b else float(a > b)
    others = (second.id, second.text) if second else ("", "")
    name = content_id(kind, first.id, others[0])
    item = Item(
        id=name,
        round=1,
        kind=kind,
        query_id=query.id,
        first_id=first.id,
        second_id=others[0],
        query=query.text,
        first=first.text,
        second=others[1],
        critique="",
        category=query.category,
        pi=0.5,
        lane="active",
        double=False,
        harmful=query.kind == "harmful",
    )
    label = ExpertLabel(content_id("label", name), name, kind, "expert", value, 0.5, "active", 1, True)
    return item, label


def plugin_settings(name: str, given: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """The section `plugin` with the settings of one plug-in."""
    return {name: dict(given)} if given else {}
