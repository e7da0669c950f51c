"""Debate: two critics argue opposite sides of a response, and a judge decides after reading both (arXiv 1805.00899).

Debaters and judge are the critic's one adapter. The argument of a side is the critique that follows its verdict word;
of two responses each has its advocate. In consultancy, the control, one side alone argues, assigned at random.
"""

from __future__ import annotations

from collections.abc import Sequence

from superalign.config.sections import AdapterCriticConfig
from superalign.generation.base import GenerationRequest
from superalign.prompts.asks import Messages
from superalign.prompts.library import Prompts
from superalign.records import content_id
from superalign.roles.critic.generative import GenerativeCritic
from superalign.roles.protocols import ACCEPTABLE, Services

SIDES = ("For", "Against")


class DebateCritic(GenerativeCritic):
    """Judges after reading what can be said for and against; learns to judge by transcripts of its own debates."""

    def __init__(self, settings: AdapterCriticConfig, services: Services) -> None:
        super().__init__(settings, services)
        self._argued: dict[tuple[str, str, str], str] = {}
        self._version = -1

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Sides argue about the whole, whatever the policy is."""
        return (ACCEPTABLE,)

    def argues(self, query: str, response: str) -> tuple[str, ...]:
        """The verdict words of the sides that argue about a response."""
        return self.prompts.acceptable

    def arguments(self, query: str, response: str) -> dict[str, str]:
        """What each side says, by its verdict word."""
        self._prepare([(query, response)])
        return {word: self._argued[query, response, word] for word in self.argues(query, response)}

    def _prepare(self, texts: Sequence[tuple[str, str]]) -> None:
        """Argue about all texts at once; arguments are kept for as long as the critic stays what it is."""
        version = self.generator.versions()[self.role]
        if version != self._version:
            self._argued, self._version = {}, version
        needed = [(*text, word) for text in dict.fromkeys(texts) for word in self.argues(*text)]
        missing = [key for key in needed if key not in self._argued]
        requests = [self._brief(*key) for key in missing]
        for key, said in zip(missing, self.generator.generate(requests, 0) if requests else [], strict=True):
            self._argued[key] = said.text.strip(" .\n")

    def _brief(self, query: str, response: str, word: str) -> GenerationRequest:
        """What a side is asked: to go on after its verdict."""
        asked = self._prompt(self.prompts.judge_messages(query, response))
        return GenerationRequest(self.role, (*asked, *self.chat.encode(word)), self.config.max_new_tokens, 0.0)

    def _point_messages(self, query: str, response: str, role: str) -> Messages:
        if role != self.role:  # the critic as it was before any training never debated
            return self.prompts.judge_messages(query, response)
        said = [f"{sides(self.prompts)[word]}: {text}" for word, text in self.arguments(query, response).items()]
        return with_transcript("\n".join(said), self.prompts.judge_messages(query, response))

    def _pair_messages(self, query: str, first: str, second: str) -> Messages:
        said = [
            f"{sides(self.prompts)[word]} the {place}: {text}"
            for place, response in zip(self.prompts.compare.words, (first, second), strict=True)
            for word, text in self._pair_arguments(query, response).items()
        ]
        return with_transcript("\n".join(said), self.prompts.compare_messages(query, first, second))

    def _pair_arguments(self, query: str, response: str) -> dict[str, str]:
        """Of two responses each is defended."""
        yes = self.prompts.acceptable[0]
        return {yes: self.arguments(query, response)[yes]}


class ConsultancyCritic(DebateCritic):
    """Judges after reading one side, assigned at random: what a debate adds, adds to this."""

    def argues(self, query: str, response: str) -> tuple[str, ...]:
        """One side; the same whenever the text is the same."""
        return (self.prompts.acceptable[int(content_id("side", query, response), 16) % 2],)

    def _pair_arguments(self, query: str, response: str) -> dict[str, str]:
        """What the consultant of each response says, for it or against it."""
        return self.arguments(query, response)


def sides(prompts: Prompts) -> dict[str, str]:
    """What each side is called, by its verdict word."""
    return dict(zip(prompts.acceptable, SIDES, strict=True))


def with_transcript(transcript: str, asked: Messages) -> Messages:
    """The question with a transcript before its last line."""
    *before, user = asked
    told, _, question = user["content"].rpartition("\n")
    return [*before, user | {"content": f"{told}\n{transcript}\n{question}"}]
