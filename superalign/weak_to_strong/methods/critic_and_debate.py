"""Strong models that help a weak supervisor to see: a critic's verdicts, and debates about an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from superalign.config.sections import LoraConfig
from superalign.config.texts import prompts_of
from superalign.errors import UserError
from superalign.generation.base import GenerationRequest
from superalign.generation.hf import HFGenerator
from superalign.models import load_chat
from superalign.prompts.asks import Messages
from superalign.roles.critic.debate import sides, with_transcript
from superalign.roles.critic.yes_no import yes_no_log_odds
from superalign.weak_to_strong.base import Floats, Rows, Text, WeakLabels
from superalign.weak_to_strong.models import backbones
from superalign.weak_to_strong.models.losses import CrossEntropy
from superalign.weak_to_strong.models.registry import make_student
from superalign.weak_to_strong.protocol import one_hot
from superalign.weak_to_strong.split_context import SplitContext

CRITIC = "critic"
ARGUMENT_TOKENS = 48


def critic_verdicts(context: SplitContext) -> Floats:
    """P(class) of the rows of half 2 by a critic alone, shape (rows, classes), relative to the classes' shares.

    The critic's log-odds of "acceptable" (of pairs, of "first better" less those of the swapped order) are read as
    evidence whose strength is measured on half 1, by logistic regression: a useless critic changes nothing.

    Raises:
        UserError: the rows are no answers to judge.
    """
    from sklearn.linear_model import LogisticRegression

    context = context.supervisor_context
    e = context.experiment

    def make() -> dict[str, Floats]:
        odds1, odds2 = (_log_odds(context, rows)[:, None] for rows in (e.half1, e.half2))
        model = LogisticRegression().fit(odds1, e.labels1)
        shares = np.bincount(e.labels1, minlength=e.classes) / len(e.labels1)
        p = np.tile(shares, (len(odds2), 1))
        p[:, model.classes_] = model.predict_proba(odds2)
        evidence = p / np.maximum(shares, 1e-9)
        return {"p": evidence / evidence.sum(1, keepdims=True)}

    parts = {"critic": _critic_files(context), "rows": e.identity, "split": context.seed}
    return context.cache.get("critic", parts | {"labels": e.labels1.tolist()}, make)["p"]


def debated_supervisor(context: SplitContext, spec: str) -> Floats:
    """P(class) of half 2 by a supervisor that reads, in training and in labelling, an argument for each side."""
    context = context.supervisor_context
    e = context.experiment

    def make() -> dict[str, Floats]:
        half1, half2 = _debated(context, e.half1), _debated(context, e.half2)
        both = Rows(half1.ids + half2.ids, half1.groups + half2.groups, (*_texts(half1), *_texts(half2)))
        student = make_student(spec, both, e.classes, e.kind, context.seed, context.cache.folder)
        truth = WeakLabels.of(one_hot(e.labels1, e.classes), "truth of half 1")
        student.fit(half1, truth, CrossEntropy(), context.settings(spec), context.seed)
        return {"p": student.predict(half2)}

    parts = {"critic": _critic_files(context), "supervisor": sorted(context.key(spec).items())}
    return context.cache.get("debate_transcripts", parts, make)["p"]


def _critic_files(context: SplitContext) -> str:
    return backbones.identity(context.config.model_of("critic"))


def _generator(context: SplitContext) -> HFGenerator:
    model = context.config.model_of("critic")
    return HFGenerator({CRITIC: model}, LoraConfig(), context.config.generator, context.config.cluster.threads)


def _texts(rows: Rows) -> tuple[Text, ...]:
    if isinstance(rows.inputs, np.ndarray):
        raise UserError("w2s.labels=critic and debate read texts: this task's rows are vectors; choose another task")
    return rows.inputs


def _log_odds(context: SplitContext, rows: Rows) -> Floats:
    """The critic's log-odds that an answer is acceptable; of pairs, that the first is better, of both orders."""
    chat = load_chat(context.config.model_of("critic"))
    generator, prompts = _generator(context), prompts_of(context.config)

    def odds(messages: Sequence[Messages], words: tuple[str, str]) -> Floats:
        first, second = (chat.encode(word)[0] for word in words)
        asked = [tuple(chat.prompt_ids(message)) for message in messages]
        return np.array(yes_no_log_odds(generator, CRITIC, asked, (first, second)), dtype=np.float64)

    texts = _texts(rows)
    if rows.seconds is None:
        return odds([prompts.judge_messages(t.prompt, t.response) for t in texts], prompts.acceptable)
    assert not isinstance(rows.seconds, np.ndarray)
    pairs = list(zip(texts, rows.seconds, strict=True))
    better, compared = prompts.compare.words, prompts.compare_messages
    first = odds([compared(a.prompt, a.response, b.response) for a, b in pairs], better)
    swapped = odds([compared(a.prompt, b.response, a.response) for a, b in pairs], better)
    return (first - swapped) / 2


def _debated(context: SplitContext, rows: Rows) -> Rows:
    """Each request and answer as the judge of a debate reads them: with an argument of the critic for either side."""
    texts, chat = _texts(rows), load_chat(context.config.model_of("critic"))
    if rows.seconds is not None:
        raise UserError("w2s.labels=debate argues about single answers: this task's rows are pairs")
    prompts = prompts_of(context.config)
    names, questions = sides(prompts), [prompts.judge_messages(t.prompt, t.response) for t in texts]
    requests = [
        GenerationRequest(
            CRITIC, (*chat.prompt_ids(question, ARGUMENT_TOKENS), *chat.encode(word)), ARGUMENT_TOKENS, 0.0
        )
        for question in questions
        for word in names
    ]
    arguments = [one.text.strip(" .\n") for one in _generator(context).generate(requests, context.seed)]
    debated = []
    for position, question in enumerate(questions):
        mine = arguments[len(names) * position : len(names) * (position + 1)]
        transcript = "\n".join(f"{side}: {said}" for side, said in zip(names.values(), mine, strict=True))
        debated.append(Text(with_transcript(transcript, question)[-1]["content"]))
    return replace(rows, inputs=tuple(debated))
