"""The card of an exported model or of its data: figures with intervals, who judged, what it does not show, licence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from superalign.report import figures, judged, learning, real_text
from superalign.report.experts import simulator
from superalign.report.figures import MetricsRow
from superalign.stats.estimate import Estimate
from superalign.stats.format import interval, number

NOT_SHOWN: Final = (
    "The figures are of the requests and attacks of this run alone. Other attacks, languages, longer talks, tools and "
    "images were not tried.",
    "A low attack success rate is no proof of safety; look at over-refusal and helpfulness beside it.",
    "Intervals are 95 % of what the sampling of requests and answers leaves open, for one training run.",
)
SIMULATED: Final = "Experts were simulated: no person has checked a label of this run."
UNKNOWN: Final = "other"
"""What the hub calls a licence that has no name there."""


def model_card(
    name: str,
    rows: Sequence[MetricsRow],
    config: Mapping[str, Any],
    summary: Mapping[str, Any],
    facts: Mapping[str, str],
) -> str:
    """A README.md as the hub reads it.

    Args:
        name: of the model.
        rows, config, summary: of its run.
        facts: base, of_hub (whether that is a name of the hub, or empty), licence, terms, role, round, what (adapter or
            model) and dtype.
    """
    from huggingface_hub import ModelCardData

    what = facts["what"]
    base = facts["base"] if facts["of_hub"] else None
    data = ModelCardData(
        base_model=base,
        base_model_relation=("adapter" if what == "adapter" else "finetune") if base else None,
        library_name="peft" if what == "adapter" else "transformers",
        license=facts["licence"] or UNKNOWN,
        pipeline_tag="text-generation",
        tags=["superalign", str(config["recipe"]), str(config["learner"]["algorithm"])],
    )
    trained = (
        f"The {facts['role']} after round {facts['round']} of {config['rounds']} of the run `{name}` "
        f"(recipe `{config['recipe']}`, seed {config['seed']}), {_a(what)} on `{facts['base']}`, {facts['dtype']}."
    )
    parts = [
        f"---\n{data.to_yaml()}\n---\n\n# {name}\n\n{trained}",
        *alarms(rows, summary),
        _section("Figures", figures.finding(rows), _headline(rows), _real(rows, config)),
        _section("Who judged", *_judges(rows, summary)),
        _section("How it was trained", _settings(config, summary)),
        _section("What this does not show", *(f"- {line}" for line in not_shown(config, summary))),
        _section("Use", _use(what)),
        _section("Licence", facts["terms"]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def data_card(
    name: str,
    rows: Sequence[MetricsRow],
    config: Mapping[str, Any],
    summary: Mapping[str, Any],
    counts: Mapping[str, int],
) -> str:
    """A README.md of a dataset as the hub reads it.

    Args:
        name: of the run.
        rows, config, summary: of it.
        counts: rows of each table in `data/`.
    """
    from huggingface_hub import DatasetCardData

    data = DatasetCardData(
        license=UNKNOWN,
        tags=["superalign", "preference", "not-for-all-audiences"],
        configs=[{"config_name": table, "data_files": f"data/{table}.parquet"} for table in counts],
    )
    tables = {
        "preferences": "one row for each pair of answers: `prompt`, `chosen` and `rejected` as TRL reads them; `q`, "
        "P(chosen is better), and `w`, the weight of the label; `source`, who gave it; `round`",
        "labels": "one row for each expert's verdict on an answer (`first`), or on two: `value` (1: acceptable, or the "
        "first is better), `dimensions` of the policy as JSON, `annotator`, `lane`, `simulated`, `round`",
    }
    parts = [
        f"---\n{data.to_yaml()}\n---\n\n# Preferences and labels of {name}\n\n"
        f"What the roles of the run `{name}` (recipe `{config['recipe']}`, seed {config['seed']}) were trained on.",
        "> **There are harmful requests, and answers that comply with them, in it**: it was made to teach a model what "
        "to decline.",
        _section("Tables", *(f"- `{table}`, {count:,} rows: {tables[table]}." for table, count in counts.items())),
        _section(
            "How good the labels are",
            "Labels of the critic are noisy: `q` says how sure it was, calibrated on experts' labels it never saw.",
            _headline(rows),
        ),
        _section("How it was made", _settings(config, summary)),
        _section("What this does not show", *(f"- {line}" for line in not_shown(config, summary))),
        _section(
            "Licence", f"That of the requests (`{config['data']['seeds']}`) and of the models that wrote the rest."
        ),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def alarms(rows: Sequence[MetricsRow], summary: Mapping[str, Any]) -> list[str]:
    """What must be read before any figure."""
    found = []
    if why := summary.get("nothing_learned"):
        found.append(f"> **Nothing was learned, the figures are no result of training.** {why}.")
    if why := learning.declines_everything(rows):
        found.append(f"> **This is no safe model.** {why[0].upper()}{why[1:]}.")
    return found


def not_shown(config: Mapping[str, Any], summary: Mapping[str, Any]) -> list[str]:
    """The limits of what a run shows, as sentences."""
    simulated = bool(summary.get("simulated_expert")) and config["expert"]["budget"] > 0
    return [*NOT_SHOWN, *([SIMULATED] if simulated else [])]


def _section(title: str, *parts: str) -> str:
    shown = [part for part in parts if part]
    gap = "\n" if all(part.startswith("- ") for part in shown) else "\n\n"
    return f"## {title}\n\n{gap.join(shown)}" if shown else ""


def _headline(rows: Sequence[MetricsRow]) -> str:
    lines = []
    for each in figures.headline(rows):
        before = f"{each['first']} ({each['first_interval']}, n {each['first_n']})" if each["moved"] else "-"
        after = f"{each['last']} ({each['last_interval']}, n {each['last_n']})"
        lines.append(f"| {each['title']}: {each['subtitle']} | {before} | {after} |")
    return _table("| | before training | last |", lines)


def _real(rows: Sequence[MetricsRow], config: Mapping[str, Any]) -> str:
    lines = [
        f"| {line.name} | {_cell(line.before, line.unit)} | {_cell(line.after, line.unit)} | "
        f"{real_text.told_change(line) or '-'} |"
        for line in real_text.lines(rows, config)
    ]
    return _table("| compliance and capability on real text | before training | last | change, paired |", lines)


def _table(head: str, lines: Sequence[str]) -> str:
    rule = "|" + "---|" * (head.count("|") - 1)
    return "\n".join([head, rule, *lines]).replace("\N{NARROW NO-BREAK SPACE}", " ") if lines else ""


def _cell(found: Estimate | None, unit: str) -> str:
    return f"{number(found.value, unit)} ({interval(found, unit)}, n {found.n})" if found else "-"


def _judges(rows: Sequence[MetricsRow], summary: Mapping[str, Any]) -> list[str]:
    """How good a judge is that is a model; the name of an oracle."""
    said = [f"{each[0].upper()}{each[1:]}." for each in judged.judge_said(rows)]
    return said or ([f"Judge: {summary['judge']}."] if summary.get("judge") else [])


def _settings(config: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    """What a reader needs to know of the settings; all of them are in config.yaml beside the card."""
    expert, learner = config["expert"], config["learner"]
    labels = (
        f"{expert['budget']} labels at most, {simulator(config) if expert['source'] == 'simulated' else 'by people'}"
    )
    curated = f"; curated labels of `{expert['curated']}`" if expert.get("curated") else ""
    versions = ", ".join(f"{name} {version}" for name, version in summary.get("versions", {}).items())
    return "\n".join(
        [
            f"- Requests: `{config['data']['seeds']}`.",
            f"- Learner: `{learner['algorithm']}`, learning rate {learner['learning_rate']:g}.",
            f"- Attacker: `{config['attacker']['kind']}`. Critic: `{config['critic']['kind']}`.",
            f"- Experts: {labels}{curated}.",
            f"- Versions: {versions}.",
            "- All settings: `config.yaml`; all figures: `summary.json`.",
        ]
    )


def _use(what: str) -> str:
    if what == "adapter":
        made = "from peft import AutoPeftModelForCausalLM\n\nmodel = AutoPeftModelForCausalLM.from_pretrained(FOLDER)"
    else:
        made = "from transformers import AutoModelForCausalLM\n\nmodel = AutoModelForCausalLM.from_pretrained(FOLDER)"
    return f"```python\n{made}\n```\n\nThe tokenizer and its chat template are beside it."


def _a(what: str) -> str:
    return "an adapter" if what == "adapter" else "a whole model"
