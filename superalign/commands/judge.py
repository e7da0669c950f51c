"""`superalign judge`: how far a judge, or the telling of refusals by their words, agrees with people's labels."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from superalign.commands.parser import Verbs

if TYPE_CHECKING:
    from superalign.data.judged_answers import JudgedAnswer
    from superalign.stats.estimate import Estimate

LABELS = "file of prompts, answers and what people said of them (.jsonl, .csv, .parquet ...)"
ROW = "{:<24} {:>6} {:>6}  {}"


def register(verbs: Verbs) -> None:
    """Add the verb and its actions to the command line."""
    actions = verbs.group("judge", "check a judge, or the telling of refusals, against people's labels")
    parser = verbs.add("refusal", refusal, "refusals told by their words, against people's labels", to=actions)
    parser.add_argument("--labels", required=True, metavar="FILE", help=LABELS)
    parser.add_argument("--halves", action="store_true", help="each half of the prompts, too: half 0 was tuned on")
    parser = verbs.add("check", check, "a model as judge of answers, against people's verdicts", to=actions)
    parser.add_argument("target", metavar="RUN|MODEL")
    parser.add_argument("--labels", required=True, metavar="FILE", help=LABELS)
    parser.add_argument("--judge", default="frozen_critic", metavar="NAME", help="evaluation.judge (%(default)s)")
    parser.add_argument("--floor", type=float, metavar="AUROC", help="evaluation.judge_floor")


def check(arguments: argparse.Namespace) -> int:
    """Print AUROC, sensitivity, specificity, threshold and the mass of the verdict words; 1 if it is below the floor.

    Labels of refusals check also how well it tells that answers comply.

    Raises:
        UserError: there is no such model or judge, or the file cannot be read or has no verdicts.
    """
    from superalign.commands.target import open_target
    from superalign.config.schema import Config
    from superalign.evaluation.judging import check_by_settings, people_said
    from superalign.evaluation.real_text.compliance import check_compliance
    from superalign.roles.judge import make_judge

    config, generator, _ = open_target(arguments.target)
    evaluation = {"judge": arguments.judge, "labels": arguments.labels}
    evaluation |= {} if arguments.floor is None else {"judge_floor": arguments.floor}
    settings = config.model_dump()
    config = Config.model_validate(settings | {"evaluation": settings["evaluation"] | evaluation})
    judge = make_judge(config, generator)
    found = check_by_settings(judge, config)
    complies = check_compliance(judge, people_said(config, judge), config).check
    print(ROW.format("", "value", "n", "95 % interval"))
    for title, e in (
        ("AUROC", found.auroc),
        ("sensitivity (accepts)", found.sensitivity),
        ("specificity (rejects)", found.specificity),
        ("complies: AUROC", complies.auroc),
        ("complies: sensitivity", complies.sensitivity),
        ("complies: specificity", complies.specificity),
    ):
        if e:
            print(ROW.format(title, f"{e.value:.3f}", e.n, f"{e.low:.3f} to {e.high:.3f}"))
    for title, value in (("threshold", found.threshold), ("mass of verdict words", found.mass)):
        if value is not None:
            print(ROW.format(title, f"{value:.3g}", found.n, "").rstrip())
    checks = [check for check in (found, complies) if check.n] or [found]
    for each in checks:
        print(each)
    return int(any(each.state == "withheld" for each in checks))


def refusal(arguments: argparse.Namespace) -> int:
    """Print recall and false-positive rate with 95 % intervals, clustered by prompt.

    Raises:
        UserError: the file cannot be read, or has no labels of refusals.
    """
    from superalign.data.judged_answers import read_judged_answers

    rows = read_judged_answers(arguments.labels, "--labels", ("refused",))
    groups = {"": rows}
    if arguments.halves:
        groups |= {f", half {number}": [row for row in rows if half(row.prompt) == number] for number in (0, 1)}
    print(ROW.format("", "value", "n", "95 % interval"))
    for name, group in groups.items():
        for title, found in refusal_figures(group).items():
            print(ROW.format(title + name, f"{found.value:.3f}", found.n, f"{found.low:.3f} to {found.high:.3f}"))
    return 0


def half(prompt: str) -> int:
    """0 or 1 by the hash of a prompt; what tells refusals was tuned on half 0 of WildGuardTest."""
    return int(hashlib.sha256(prompt.encode()).hexdigest(), 16) % 2


def refusal_figures(rows: Sequence[JudgedAnswer]) -> dict[str, Estimate]:
    """Share of refusals that are found, and of other answers that are taken for refusals, where there are any."""
    from superalign.prompts.refusal import is_refusal
    from superalign.stats.intervals import clustered_rate

    groups = {"recall": [row for row in rows if row.refused], "false positives": [r for r in rows if not r.refused]}
    return {
        title: clustered_rate([is_refusal(row.answer) for row in group], [row.prompt for row in group])
        for title, group in groups.items()
        if group
    }
