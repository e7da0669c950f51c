"""What the page shows of a run: which figures, in which order, and in which words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from superalign.report.judged import withheld
from superalign.stats.estimate import Estimate
from superalign.stats.format import interval, number

MetricsRow = Mapping[str, Any]


@dataclass(frozen=True)
class Series:
    """One curve: estimates by round."""

    label: str
    points: tuple[tuple[int, Estimate], ...]


@dataclass(frozen=True)
class Chart:
    """A chart's words and the metrics it draws, as (metric, label on the curve).

    `unit` is "%" for shares, shown as percentages, and "" for plain numbers. `full` shares are drawn on 0-100 %. `axis`
    names what runs to the right. `{on}` in the note stands for what the first metric was measured on (see `fill_in`).
    """

    title: str
    note: str
    metrics: tuple[tuple[str, str], ...]
    unit: str = "%"
    full: bool = False
    axis: str = "round"


ATTACKS: Final = Chart(
    "Attack success",
    "Share of harmful requests that got a harmful answer. Lower is better.",
    (
        ("attack_success_rate_heldout_families", "Held-out attack families"),
        ("attack_success_rate", "Held-out combinations"),
        ("attack_success_rate_seen", "Seen in training"),
        ("attack_success_rate_refinement", "Refining attacker, frozen"),
    ),
    full=True,
)
CHARTS: Final = (
    Chart("Helpfulness", "Benign requests that were answered. Higher is better.", (("helpfulness", ""),), full=True),
    Chart("Over-refusal", "Share of {on} that were refused. Lower is better.", (("over_refusal_rate", ""),)),
    Chart(
        "Critic, own answers",
        "Share of right verdicts on what the learner said, by its worth, against {on}. Higher is better.",
        (("critic_accuracy_own", "All"), ("critic_sensitivity_own", "Good"), ("critic_specificity_own", "Bad")),
    ),
    Chart("Critic accuracy", "Share of verdicts that agree with {on}. Higher is better.", (("critic_accuracy", ""),)),
    Chart("Critic calibration error", "Expected, 15 bins, against {on}. Lower is better.", (("critic_ece", ""),)),
    Chart("Proxy-gold gap", "The critic's mean score less the judge's; ideal is 0.", (("proxy_gold_gap", ""),)),
    Chart(
        "Attack diversity",
        "Of a round's attacks: 1 less self-BLEU, and distance to the nearest in the archive. Higher is better.",
        (("attack_diversity", "Dissimilarity"), ("attack_novelty", "Novelty (kNN)")),
    ),
    Chart(
        "Attacks that work",
        "New attacks that succeed by the critic, unlike each other; cells (risk x tactic) with a success.",
        (("attack_unique_success_rate", "Unique successes"), ("attack_cell_coverage", "Cells covered")),
    ),
)
SHARES: Final = frozenset(
    {name for chart in (ATTACKS, *CHARTS) if chart.unit == "%" for name, _ in chart.metrics}
    | {"abstention_rate", "judge_sensitivity", "judge_specificity", "critic_sensitivity", "critic_specificity"}
)
PLAIN: Final = frozenset({"critic_brier", "reward_brier", "critic_auroc", "critic_auroc_own"})
"""Of what tiles and tables show, what is no share."""
HEADLINE: Final = (
    ("attack_success_rate", "Attack success", "on held-out combinations"),
    ("attack_success_rate_heldout_families", "Attack success", "in attack families never trained on"),
    ("helpfulness", "Helpfulness", "benign requests answered"),
    ("over_refusal_rate", "Over-refusal", "{on} refused"),
    ("critic_accuracy_own", "Critic, own answers", "agreement with {on}"),
    ("critic_specificity_own", "Bad answers rejected", "by the critic, of the learner's own"),
    ("critic_accuracy", "Critic accuracy", "agreement with {on}"),
    ("critic_ece", "Critic calibration error", "expected, 15 bins, against {on}"),
)


UNCORRECTED: Final = (
    "Attack success is not corrected for its errors: that takes 30 labels of either kind, and a judge that errs less"
)
UNTOLD: Final = {"over_refusal_rate": "harmless requests"}  # of rows that do not tell; of others "known verdicts"


def fill_in(words: str, rows: Sequence[MetricsRow], name: str) -> str:
    """The words with what the metric was measured on, as the last row that tells it says, in the place of `{on}`."""
    told = [row["measured_on"][name] for row in rows if name in row.get("measured_on", {})]
    return words.replace("{on}", told[-1] if told else UNTOLD.get(name, "known verdicts"))


def estimate(row: MetricsRow, name: str) -> Estimate | None:
    """The metric of one row; None when the row lacks it or it could not be computed."""
    found = row.get("metrics", {}).get(name)
    if not found or any(found.get(part) is None for part in ("value", "low", "high")):
        return None
    return Estimate(float(found["value"]), float(found["low"]), float(found["high"]), int(found.get("n") or 0))


def series(rows: Sequence[MetricsRow], chart: Chart) -> list[Series]:
    """The chart's curves, without those that were never measured."""
    drawn = []
    for name, label in chart.metrics:
        points = tuple((int(row["round"]), found) for row in rows if (found := estimate(row, name)))
        if points:
            drawn.append(Series(label, points))
    return drawn


def headline(rows: Sequence[MetricsRow], figures: Sequence[tuple[str, str, str]] = HEADLINE) -> list[dict[str, Any]]:
    """First and last of the figures that matter most, as (metric, title, subtitle)."""
    shown = []
    for name, title, subtitle in figures:
        measured = [found for row in rows if (found := estimate(row, name))]
        if measured:
            first, last, unit = measured[0], measured[-1], "" if name in PLAIN else "%"
            shown.append(
                {
                    "title": title,
                    "subtitle": fill_in(subtitle, rows, name),
                    "moved": len(measured) > 1,
                    "first": number(first.value, unit),
                    "last": number(last.value, unit),
                    "first_interval": interval(first, unit),
                    "last_interval": interval(last, unit),
                    "first_n": first.n,
                    "last_n": last.n,
                }
            )
    return shown


def finding(rows: Sequence[MetricsRow]) -> str:
    """The run in one or two sentences, from its figures alone."""
    if not rows:
        return "No round is committed yet; there is nothing to report."
    if why := withheld(rows):
        return f"No rates are reported: {why}."
    sentences = []
    first, last = estimate(rows[0], "attack_success_rate"), estimate(rows[-1], "attack_success_rate")
    if first and last and len(rows) > 1:
        rounds = rows[-1]["round"]
        moved = "fell" if last.high < first.low else "rose" if last.low > first.high else "went"
        sentence = (
            f"Attack success on held-out combinations {moved} from {number(first.value, '%')} to "
            f"{number(last.value, '%')} in {rounds} round{'' if rounds == 1 else 's'}"
        )
        first, last = (estimate(row, "attack_success_rate_heldout_families") for row in (rows[0], rows[-1]))
        if first and last:
            before, after = number(first.value, "%"), number(last.value, "%")
            sentence += f", and in attack families never trained on from {before} to {after}"
        sentences.append(sentence)
    elif first:
        sentences.append(f"Before training, attacks succeed on {number(first.value, '%')} of held-out combinations")
    helpful, refused = estimate(rows[-1], "helpfulness"), estimate(rows[-1], "over_refusal_rate")
    if helpful and refused:
        sentences.append(
            f"It answers {number(helpful.value, '%')} of benign requests and refuses "
            f"{number(refused.value, '%')} of {fill_in('{on}', rows, 'over_refusal_rate')}"
        )
    return ". ".join(sentences) + "." if sentences else "The run has no headline figures yet."


def correction(rows: Sequence[MetricsRow]) -> str:
    """Attack success corrected for the judge's errors on experts' labels, in words, or why it is not; else nothing."""
    saw, cleared = (estimate(rows[-1], f"judge_{name}") if rows else None for name in ("sensitivity", "specificity"))
    if not (saw or cleared):
        return ""
    told = [
        f"{number(found.value, '%')} [{interval(found, '%')}] of {found.n} attacks that {did}"
        for found, did in ((saw, "succeeded"), (cleared, "failed"))
        if found
    ]
    corrected = [
        f"{number(found.value, '%')} [{interval(found, '%')}] {where}"
        for name, _, where in HEADLINE
        if (found := estimate(rows[-1], f"{name}_corrected"))
    ]
    end = f"Corrected for its errors, attack success is {' and '.join(corrected)}" if corrected else UNCORRECTED
    return f"By the experts' labels the judge is right on {' and on '.join(told)}. {end}."


def select_samples(samples: Sequence[MetricsRow], limit: int) -> list[MetricsRow]:
    """The samples to show: each reason in turn, the widest gap between critic and judge first, later rounds first."""

    def gap(row: MetricsRow) -> float:
        p, gold = row.get("p"), row.get("gold")
        return abs(float(p) - float(gold)) if p is not None and gold is not None else 0.0

    by_reason: dict[str, list[MetricsRow]] = {}
    for row in sorted(samples, key=lambda row: (-gap(row), -int(row["round"]))):
        by_reason.setdefault(str(row.get("why", "")), []).append(row)
    chosen: list[MetricsRow] = []
    while len(chosen) < limit and any(by_reason.values()):
        chosen += [rows.pop(0) for rows in by_reason.values() if rows]
    return chosen[:limit]


def seconds(value: float) -> str:
    """A duration: `4.2 s`, `38 s`, `4 min 05 s`."""
    if value < 9.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
