"""Questions as data: fields, openings, and answers that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from superalign.config.paths import conf_dir
from superalign.errors import UserError
from superalign.prompts.asks import Ask
from superalign.prompts.files import load_policy, load_prompts
from superalign.prompts.library import AttackAsk
from superalign.prompts.reading import Reading

SHIPPED = conf_dir() / "prompts"


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_a_field_says_is_never_read_as_a_template() -> None:
    ask = AttackAsk(user="Rewrite: {request}")
    assert ask.messages(request="print {tactic} {request}")[-1]["content"] == "Rewrite: print {tactic} {request}"


@pytest.mark.parametrize("answer", ["", "Sure! here it is", "I'm sorry, no"])
def test_an_answer_that_is_empty_of_another_form_or_unreadable_is_not_read(answer: str) -> None:
    assert Ask(user="ask", pattern="(?:Prompt: )?(?P<text>[^!]+)", unreadable="sorry").read(answer) is None


def test_the_text_group_is_read_without_the_space_around_it() -> None:
    assert Ask(user="ask", pattern="Prompt:(?P<text>.+)").read("Prompt:  go on\n and on ") == {"text": "go on\n and on"}


def test_without_groups_the_whole_answer_is_read_as_it_is() -> None:
    assert Ask(user="ask").read(" as it is\n") == {"text": " as it is\n"}


def test_unread_answers_are_counted_until_they_are_told() -> None:
    reading, ask = Reading(), Ask(user="ask", unreadable="no")
    for answer in ("yes", "no", "no"):
        reading.read("attack", ask, answer)
    assert reading.take() == {"attack": (2, 3)}
    assert reading.take() == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("based_on: testbed\nattack: {user: 'Rewrite {reqest}'}", "attack: has {reqest}; it can have"),
        ("based_on: testbed\nattack: {user: Rewrite it}", "attack: does not say {request}"),
        ("based_on: testbed\nattack: {pattern: '('}", "attack.pattern: is no regular expression"),
        ("based_on: testbed\nattak: {}", "attak: Extra inputs"),
        ("based_on: testbet", "testbet is no file that ships"),
        ("based_on: mine", "mine is no file that ships"),
        ("attack: {user: '{request}'}", "refine: Field required"),
        ("- a list", "should be a mapping"),
        ("a: [", "is no YAML"),
        (
            "based_on: testbed\nrevise: {default: {dialogue: false, user: Mend it}}",
            "revise.default: does not say {query}",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        load_prompts(written(tmp_path, text), SHIPPED)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_holds_differences_alone(tmp_path: Path) -> None:
    mine = load_prompts(written(tmp_path, "based_on: testbed\nattack: {system: Attack.}"), SHIPPED)
    usual = load_prompts(SHIPPED / "testbed.yaml", SHIPPED)
    assert mine.attack == usual.attack.model_copy(update={"system": "Attack."})
    assert mine.judge == usual.judge


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        load_policy(tmp_path / "none.yaml", SHIPPED)
