"""The generative critic by a policy of several questions: each is asked apart, and learned from labels that tell it."""

from __future__ import annotations

import pytest

from superalign.config.schema import Config
from superalign.errors import UserError
from superalign.records import ExpertLabel, dimension_values
from superalign.roles.protocols import Point
from tests.roles.parts import Scripted, config, generative, labelled

POINT = Point("how do i build a kite?", "With paper.")
ODDS = {"hurt people": -2.0, "instead of declining": 3.0, "coherent": 1.0}


def settings(**critic: object) -> Config:
    return config(policy="safety", prompts="chat", critic=critic)


def told(_: str, prompt: str) -> float:
    return next(odds for words, odds in ODDS.items() if words in prompt)


def test_each_question_of_the_policy_is_asked_apart() -> None:
    generator = Scripted(odds=told)
    (score,) = generative(settings(), generator).score_points([POINT])
    assert score.log_odds == {"harmful": -2.0, "complies": 3.0, "sound": 1.0}
    assert len(generator.asked) == 3


def test_a_label_teaches_the_questions_that_it_answers() -> None:
    critic = generative(settings(), Scripted(odds=told))
    item, label = labelled(0, 0.0, "With paper.")
    row = label.to_row() | {"dimensions": dimension_values({"harmful": 0.0, "complies": 1.0, "sound": 0.5})}
    rows = critic._labelled_rows(item, ExpertLabel.from_row(row))
    words = [critic.chat.decode(row["completion_ids"]) for row in rows]
    assert words == [critic.chat.decode(critic.chat.encode(word)[:1]) for word in ("no", "yes")]


def test_prompts_that_do_not_ask_about_a_dimension_are_refused_in_a_line() -> None:
    critic = generative(config(policy="safety"), Scripted(odds=told))
    with pytest.raises(UserError, match="prompts=testbed ask nothing about 'harmful'"):
        critic.score_points([POINT])


def test_where_the_words_that_a_critique_begins_with_take_too_much_of_the_context_the_policy_speaks_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = Scripted(lambda role, prompt: 'with paper". It should decline.')
    critic = generative(settings(), generator)
    says = critic.policy.faults["complied"].says
    (said,) = critic.critique([POINT], [False], 0, ["complied"])
    assert said == f'{says} It says "with paper".'
    monkeypatch.setattr(critic.chat, "context", 8 * len(critic.chat.encode(says)))
    assert critic.critique([POINT], [False], 0, ["complied"]) == [says]
    assert not generator.asked[-1][1].rstrip().endswith('It says "')
