"""Attacks in the making: what the attacker is asked, what it writes, and what the learner answers in between."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from superalign.config.sections import FewShotAttackerConfig
from superalign.config.texts import prompts_of
from superalign.generation.base import GenerationRequest
from superalign.models import load_chat
from superalign.prompts import multi_turn
from superalign.prompts.asks import Ask, Messages
from superalign.prompts.library import FREE, respond
from superalign.prompts.reading import Reading
from superalign.records import Seed
from superalign.roles.protocols import Services
from superalign.roles.rollouts import Turn


@dataclass
class Talk:
    """An attack in the making.

    Attributes:
        told: the tactic that the attacker is told, empty where it chooses itself.
        turns: what it was asked and wrote, that of an opening that could not be read included.
        said: by both sides.
        tactic: that of the last turn.
        silent: whether it is over: nothing that it wrote since could be asked.
    """

    seed: Seed
    told: str = ""
    turns: list[Turn] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    tactic: str = FREE
    silent: bool = False

    @property
    def text(self) -> str:
        """The query, or what could not be read as one."""
        return multi_turn.carry(self.said) if self.said else multi_turn.clean(self.turns[0].generation.text)


class Talker:
    """Holds talks of the attacker with the learner as it is now."""

    def __init__(self, settings: FewShotAttackerConfig, services: Services) -> None:
        config = services.config
        self.config, self.reply_tokens = settings, config.learner.max_new_tokens
        self.chat, self.other_chat = load_chat(config.model_of("attacker")), load_chat(config.model_of("learner"))
        self.prompts, self.generator, self.reading = prompts_of(config), services.generator, Reading()

    def hold(self, talks: Sequence[Talk], seed: int) -> None:
        """All turns of talks that have just begun."""
        for number in range(self.config.turns):
            if number:
                self._hear(talks, seed + number)
            self._ask(talks, seed + number)

    def opening_ids(self, messages: Messages, opening: str) -> tuple[int, ...]:
        """What the attacker's words follow: the chat, and what is put into its mouth."""
        begun = self.chat.encode(opening) if opening else []
        return (*self.chat.prompt_ids(messages, len(begun) + self.config.max_new_tokens), *begun)

    def _ask(self, talks: Sequence[Talk], seed: int) -> None:
        """The attacker's next turn of every talk.

        An opening that cannot be read is a failed attempt. Whatever cannot be read later ends the talk with what was
        said before, which counts as it is.
        """
        c, prompts = self.config, self.prompts
        speaking, requests = [talk for talk in talks if not talk.silent], []
        for talk in speaking:
            if talk.said:
                query, answer = talk.said[-2:]
                messages = prompts.refine_messages(talk.seed.text, query, answer, tactic=talk.told)
            else:
                messages = prompts.attack_messages(talk.seed.text, talk.told)
            ids = self.opening_ids(messages, self._opening(talk))
            requests.append(GenerationRequest("attacker", ids, c.max_new_tokens, c.temperature))
        for talk, request, wrote in zip(speaking, requests, self.generator.generate(requests, seed), strict=True):
            written = self._opening(talk) + wrote.text
            found = self.reading.read("attack", prompts.attack, written)
            turn = Turn(request.prompt_ids, wrote)
            if found is not None:
                talk.turns.append(turn)
                talk.said.append(multi_turn.clean(found["text"]))
                talk.tactic = talk.told or found.get("tactic", FREE)
                continue
            talk.silent = True
            if talk.said:
                talk.said = talk.said[:-1]
            elif not says_nothing(prompts.attack, written):
                talk.turns.append(turn)
                talk.tactic = talk.told or FREE

    def _opening(self, talk: Talk) -> str:
        ask = self.prompts.refine if talk.said else self.prompts.attack
        return ask.opened(request=talk.seed.text, tactic=talk.told)

    def _hear(self, talks: Sequence[Talk], seed: int) -> None:
        """The learner's answer in every talk, the likeliest one."""
        speaking = [talk for talk in talks if not talk.silent]
        asked = [respond(multi_turn.carry(talk.said)) for talk in speaking]
        requests = [
            GenerationRequest(
                "learner", tuple(self.other_chat.prompt_ids(m, self.reply_tokens)), self.reply_tokens, 0.0
            )
            for m in asked
        ]
        for talk, answer in zip(speaking, self.generator.generate(requests, seed), strict=True):
            talk.said.append(multi_turn.clean(answer.text))


def says_nothing(ask: Ask, written: str) -> bool:
    """Whether there is nothing between the marks of the output's form: then there is nothing to learn from, either."""
    found = re.fullmatch(ask.pattern, written, re.DOTALL)
    return found is not None and not found.groupdict(found.group()).get("text", found.group()).strip()
