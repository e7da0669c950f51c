"""What the attacker tried in a round, and the rows that training on it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from superalign.generation.base import Generation
from superalign.models import Chat
from superalign.records import Query

MIN_GAIN = 0.1  # a smaller difference of rewards between two attacks on one seed teaches nothing
REPEATED = 1.0  # what saying the same twice costs


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the attacker: what it was asked, and what it wrote."""

    prompt_ids: tuple[int, ...]
    generation: Generation


@dataclass(frozen=True, slots=True)
class Rollout:
    """One attack of this round.

    Attributes:
        query: what was written, asked or not.
        faithful: whether it could be asked.
        turns: of the attacker.
        duplicates: turns of further attacks that came out word for word the same.
        told: the tactic that the attacker was told, empty where it chose itself.
    """

    query: Query
    faithful: bool
    turns: tuple[Turn, ...]
    duplicates: tuple[tuple[Turn, ...], ...] = ()
    told: str = ""

    @property
    def group(self) -> str:
        """Those attacks have it in common that were written to the same question, and can be compared."""
        return f"{self.query.seed_id}/{self.told}" if self.told else self.query.seed_id


def groups(attempts: Sequence[Rollout], rewards: Sequence[float]) -> list[list[tuple[float, Rollout]]]:
    """The attempts of each group with their rewards; those groups left out of which all are worth about the same."""
    found: dict[str, list[tuple[float, Rollout]]] = {}
    for attempt, reward in zip(attempts, rewards, strict=True):
        found.setdefault(attempt.group, []).append((reward, attempt))

    def spread(group: list[tuple[float, Rollout]]) -> float:
        worth = [r - REPEATED * bool(copy) for r, a in group for copy in range(1 + len(a.duplicates))]
        return max(worth) - min(worth)

    return [group for group in found.values() if spread(group) >= MIN_GAIN]


def pairs(attempts: Sequence[Rollout], rewards: Sequence[float], chat: Chat, most: int) -> list[dict[str, Any]]:
    """Best against worst opening of each group, the clearest first."""
    rows: list[tuple[float, dict[str, Any]]] = []
    for tries in groups(attempts, rewards):
        tries.sort(key=lambda pair: pair[0])
        (low, worst), (high, best) = tries[0], tries[-1]
        if high - low < MIN_GAIN:
            continue
        row = {
            "prompt_ids": list(best.turns[0].prompt_ids),
            "chosen_ids": _closed(chat, best.turns[0].generation),
            "rejected_ids": _closed(chat, worst.turns[0].generation),
            "q": 1.0,
            "w": min(1.0, high - low),
        }
        rows.append((high - low, row))
    return [row for _, row in sorted(rows, key=lambda r: r[0], reverse=True)[:most]]


def anchor(attempt: Rollout, chat: Chat) -> dict[str, Any]:
    """The opening of an attempt as a row of supervised training."""
    opening = attempt.turns[0]
    completion = _closed(chat, opening.generation)
    return {"id": attempt.query.id, "prompt_ids": list(opening.prompt_ids), "completion_ids": completion}


def rollouts(
    attempts: Sequence[Rollout], rewards: Sequence[float], prices: Sequence[float], chat: Chat, compared: bool
) -> list[dict[str, Any]]:
    """Every turn of every attempt with the reward of the whole; turn by turn, each group is compared in itself.

    Args:
        attempts: of one round.
        rewards: R of each.
        prices: what is taken off beside, for how far it strayed from the base.
        chat: of the attacker's model.
        compared: whether only differences within a group teach; groups without any are left out then.
    """
    price = {id(attempt): p for attempt, p in zip(attempts, prices, strict=True)}
    chosen = groups(attempts, rewards) if compared else [list(zip(rewards, attempts, strict=True))]
    return list(_rollouts(chosen, price, chat))


def _rollouts(
    chosen: Sequence[Sequence[tuple[float, Rollout]]], price: dict[int, float], chat: Chat
) -> Iterator[dict[str, Any]]:
    for reward, attempt in (one for group in chosen for one in group):
        for copy, turns in enumerate((attempt.turns, *attempt.duplicates)):
            for number, turn in enumerate(turns):
                wrote = turn.generation
                ending = (wrote.stop_logprob or 0.0,) if wrote.finished else ()
                yield {
                    "prompt_ids": list(turn.prompt_ids),
                    "completion_ids": _closed(chat, wrote),
                    "logprobs": [*wrote.logprobs, *ending],
                    "reward": reward - price[id(attempt)] - REPEATED * bool(copy),
                    "group": f"{attempt.group}/{number}",
                    "attempt": f"{attempt.query.id}/{copy}",
                }


def _closed(chat: Chat, generation: Generation) -> list[int]:
    return chat.closed(generation.token_ids) if generation.finished else list(generation.token_ids)
