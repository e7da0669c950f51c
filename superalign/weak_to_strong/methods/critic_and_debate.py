"""Strong models that help a weak supervisor to see: a critic's verdicts, and debates about an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from superalign.config.sections import LoraConfig
from superalign.errors import UserError
from superalign.generation.base import GenerationRequest
from superalign.generation.hf import HFGenerator
from superalign.models import load_chat
from superalign.prompts import templates
from superalign.weak_to_strong.base import Floats, Rows, Text, WeakLabels
from superalign.weak_to_strong.models import backbones
from superalign.weak_to_strong.models.losses import CrossEntropy
from superalign.weak_to_strong.models.registry import make_student
from superalign.weak_to_strong.protocol import one_hot
from superalign.weak_to_strong.split_context import Lab

CRITIC = "critic"
ARGUMENT_TOKENS = 48


def critic_verdicts(lab: Lab) -> Floats:
    """P(class) of the rows of half 2 by a critic alone, shape (rows, classes), relative to the classes' shares.

    The critic's log-odds of "acceptable" (of pairs, of "first better" less those of the swapped order) are read as
    evidence whose strength is measured on half 1, by logistic regression: a useless critic says nothing.

    Raises:
        UserError: the rows are no answers to judge.
    """
    from sklearn.linear_model import LogisticRegression

    lab = lab.given
    e = lab.experiment

    def make() -> dict[str, Floats]:
        seen, asked = (_log_odds(lab, rows)[:, None] for rows in (e.half1, e.half2))
        model = LogisticRegression().fit(seen, e.labels1)
        shares = np.bincount(e.labels1, minlength=e.classes) / len(e.labels1)
        p = np.tile(shares, (len(asked), 1))
        p[:, model.classes_] = model.predict_proba(asked)
        evidence = p / np.maximum(shares, 1e-9)
        return {"p": evidence / evidence.sum(1, keepdims=True)}

    parts = {"critic": _critic_files(lab), "rows": e.identity, "split": lab.seed}
    return lab.cache.get("critic", parts | {"labels": e.labels1.tolist()}, make)["p"]


def debated_supervisor(lab: Lab, spec: str) -> Floats:
    """P(class) of half 2 by a supervisor that reads, in training and in labelling, an argument for each side."""
    lab = lab.given
    e = lab.experiment

    def make() -> dict[str, Floats]:
        heard1, heard2 = _debated(lab, e.half1), _debated(lab, e.half2)
        both = Rows(heard1.ids + heard2.ids, heard1.groups + heard2.groups, (*_texts(heard1), *_texts(heard2)))
        student = make_student(spec, both, e.classes, e.kind, lab.seed, lab.cache.folder)
        truth = WeakLabels.of(one_hot(e.labels1, e.classes), "truth of half 1")
        student.fit(heard1, truth, CrossEntropy(), lab.settings(spec), lab.seed)
        return {"p": student.predict(heard2)}

    parts = {"critic": _critic_files(lab), "supervisor": sorted(lab.key(spec).items())}
    return lab.cache.get("debate", parts, make)["p"]


def _critic_files(lab: Lab) -> str:
    return backbones.identity(lab.config.model_of("critic"))


def _generator(lab: Lab) -> HFGenerator:
    model = lab.config.model_of("critic")
    return HFGenerator({CRITIC: model}, LoraConfig(), lab.config.generator, lab.config.cluster.threads)


def _texts(rows: Rows) -> tuple[Text, ...]:
    if isinstance(rows.inputs, np.ndarray):
        raise UserError("w2s.labels=critic and debate read texts: this task's rows are vectors; choose another task")
    return rows.inputs


def _log_odds(lab: Lab, rows: Rows) -> Floats:
    chat = load_chat(lab.config.model_of("critic"))
    generator = _generator(lab)

    def odds(messages: Sequence[templates.Messages], words: tuple[str, str]) -> Floats:
        choices = [chat.encode(word)[0] for word in words]
        asked = [tuple(chat.prompt_ids(message)) for message in messages]
        found = np.array(generator.choice_logits(CRITIC, asked, choices))
        return np.asarray(found[:, 0] - found[:, 1], dtype=np.float64)

    texts = _texts(rows)
    if rows.seconds is None:
        return odds([templates.judge_point(t.prompt, t.response) for t in texts], templates.ACCEPTABLE)
    assert not isinstance(rows.seconds, np.ndarray)
    pairs = list(zip(texts, rows.seconds, strict=True))
    first = odds([templates.judge_pair(a.prompt, a.response, b.response) for a, b in pairs], templates.BETTER)
    swapped = odds([templates.judge_pair(a.prompt, b.response, a.response) for a, b in pairs], templates.BETTER)
    return (first - swapped) / 2


def _debated(lab: Lab, rows: Rows) -> Rows:
    """The rows with what the critic says when it must accept, and when it must refuse."""
    texts, chat = _texts(rows), load_chat(lab.config.model_of("critic"))
    if rows.seconds is not None:
        raise UserError("w2s.labels=debate argues about single answers: this task's rows are pairs")
    requests = [
        GenerationRequest(
            CRITIC,
            (*chat.prompt_ids(templates.judge_point(t.prompt, t.response), ARGUMENT_TOKENS), *chat.encode(side)),
            ARGUMENT_TOKENS,
            0.0,
        )
        for t in texts
        for side in templates.ACCEPTABLE
    ]
    said = [one.text for one in _generator(lab).generate(requests, lab.seed)]
    heard = tuple(
        Text(t.prompt, f"{t.response}\n{templates.ACCEPTABLE[0]}{pro}\n{templates.ACCEPTABLE[1]}{con}")
        for t, pro, con in zip(texts, said[::2], said[1::2], strict=True)
    )
    return replace(rows, inputs=heard)
