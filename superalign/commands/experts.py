"""`superalign experts ...`: the verbs around a run's expert queue."""

from __future__ import annotations

import argparse
import contextlib
import os
from typing import TYPE_CHECKING, Any

from superalign.commands.parser import Verb, Verbs
from superalign.errors import UserError

if TYPE_CHECKING:
    from superalign.experts.queue import ExpertQueue
    from superalign.store.folder import RunFolder

PORT = 8400
EXPORTS = ("jsonl", "argilla", "label-studio", "trl")  # those of `formats`, which is slow to import
IMPORTS = ("jsonl", "argilla", "label-studio")
MOST_LISTED = 20  # bad answers of an import
GUIDELINE = "guideline.txt"  # in the run's folder: shown in place of the guideline that comes with superalign


def register(verbs: Verbs) -> None:
    """Add the verb with its actions to the command line."""
    actions = verbs.group("experts", "the experts' queue: serve its page, label, export, import, statistics")

    def made(name: str, verb: Verb, help: str) -> argparse.ArgumentParser:
        parser = verbs.add(name, verb, help, actions)
        parser.add_argument("run", metavar="RUN")
        return parser

    parser = made("serve", serve, "serve the page on which experts answer")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=PORT, help="0 picks a free port (default: %(default)s)")
    parser = made("add-user", add_user, "let somebody use the page; prints their token, once")
    parser.add_argument("user", metavar="NAME")
    parser.add_argument("--role", default="annotator", choices=("annotator", "adjudicator", "admin"))
    parser = made("label", label, "answer items in the terminal")
    parser.add_argument(
        "--annotator", default=os.environ.get("USER") or "expert", help="your name (default: %(default)s)"
    )
    parser = made("export", export, "write the items that wait, for experts who work elsewhere; as trl the labels")
    parser.add_argument("file", metavar="FILE", help="a folder for argilla, label-studio and trl")
    parser.add_argument("--format", default="jsonl", choices=EXPORTS, help=f"{', '.join(EXPORTS)} (default: jsonl)")
    parser.add_argument("--labels", action="store_true", help="write the labels given so far instead (jsonl)")
    parser = made("import", import_, "read answers that were given elsewhere")
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--format", default="jsonl", choices=IMPORTS, help=f"{', '.join(IMPORTS)} (default: jsonl)")
    made("stats", stats, "count labels and budget; agreement, error, time and cost")
    made("verify", verify, "check every row against the log; names what was tampered with")


def serve(arguments: argparse.Namespace) -> int:
    """Serve the page until interrupted."""
    run = _run(arguments)
    try:
        from superalign.experts.web import server
        from superalign.experts.web.security import secret_key
        from superalign.experts.web.site import Site
    except ModuleNotFoundError as error:
        raise UserError(f"the page needs {error.name}: pip install 'superalign[experts]'") from None
    experts = run.config()["expert"]
    with contextlib.closing(_queue(run, new=True)) as queue:
        site = Site(
            queue,
            secret_key(run.folder / "experts.key"),
            run.name,
            guideline=_guideline(run, queue),
            lease_s=experts["lease_s"],
            hourly_rate=experts.get("hourly_rate", 0.0),
        )
        server.serve(site, arguments.host, arguments.port)
    return 0


def add_user(arguments: argparse.Namespace) -> int:
    """Let somebody in."""
    from superalign.experts.users import Users

    with contextlib.closing(_queue(_run(arguments), new=True)) as queue:
        token = Users(queue).add(arguments.user, arguments.role)
    print(f"The token of {arguments.user.strip()} ({arguments.role}), shown this once: {token}")
    return 0


def label(arguments: argparse.Namespace) -> int:
    """Answer items in the terminal."""
    from rich.console import Console

    from superalign.experts import terminal

    run = _run(arguments)
    with contextlib.closing(_queue(run)) as queue:
        terminal.label(queue, arguments.annotator, Console(), guideline=_guideline(run, queue) or "")
    return 0


def export(arguments: argparse.Namespace) -> int:
    """Write items or labels."""
    from superalign.experts import formats, interchange

    if arguments.labels and arguments.format != "jsonl":
        raise UserError(f"--labels is for jsonl; {arguments.format} has no file of labels alone")
    write = interchange.export_labels if arguments.labels else formats.EXPORTS[arguments.format]
    with contextlib.closing(_queue(_run(arguments))) as queue:
        print(f"{write(queue, arguments.file)} rows in {arguments.file}")
    return 0


def import_(arguments: argparse.Namespace) -> int:
    """Read answers; 2 if the file tells nothing."""
    from superalign.experts import formats
    from superalign.experts.terminal import clean

    with contextlib.closing(_queue(_run(arguments))) as queue:
        found = formats.IMPORTS[arguments.format](queue, arguments.file)
    if (why := found.nothing) is not None:
        raise UserError(f"{arguments.file}: nothing was imported: {why}")
    surplus = f"; {found.surplus} answers that nobody needed any more were left out" if found.surplus else ""
    known = f"; {found.known} were there already" if found.known else ""
    unanswered = f"; {found.unanswered} without an answer" if found.unanswered else ""
    refused = f"; {len(found.refused)} bad ones were left out:" if found.refused else ""
    print(f"{found.new} new labels{known}{surplus}{unanswered}{refused}")
    for line in found.refused[:MOST_LISTED]:
        print(f"  {clean(line)}")
    if len(found.refused) > MOST_LISTED:
        print(f"  and {len(found.refused) - MOST_LISTED} more")
    return 0


def stats(arguments: argparse.Namespace) -> int:
    """Print what the page of statistics shows."""
    from superalign.experts.statistics import summary
    from superalign.experts.terminal import clean

    run = _run(arguments)
    with contextlib.closing(_queue(run, asks=False)) as queue:
        rounds, answers = queue.stats()["rounds"], queue.answers()
    found = summary(answers, hourly_rate=run.config()["expert"].get("hourly_rate", 0.0))
    for row in rounds:
        print("round {round}: {used} of {budget} labels given, {items} items, {leased} held now".format(**row))
    print("labels: {labels}, {simulated} of them simulated, {gold} on gold items".format(**found))
    for line in _lines(found):
        print(clean(line))
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """Check the log and every row; 1 if something was tampered with."""
    from superalign.experts.terminal import clean

    with contextlib.closing(_queue(_run(arguments), asks=False)) as queue:
        faults, entries = queue.verify(), len(queue.audit())
    for fault in faults:
        print(clean(fault))
    print(f"{len(faults)} faults" if faults else f"Every row is as the log of {entries} actions says.")
    return int(bool(faults))


def _lines(found: dict[str, Any]) -> list[str]:
    def told(estimate: dict[str, Any] | None) -> str:
        if estimate is None:
            return "nothing to tell it from yet"
        return "{value:.3f} ({low:.3f} to {high:.3f}, n={n})".format(**estimate)

    lines = [
        f"{words}: {told(found[name])}"
        for name, words in (
            ("expert_expert", "agreement of expert with expert"),
            ("expert_critic", "agreement of expert with critic"),
            ("expert_critic_on_doubles", "agreement of expert with critic on items with two answers"),
            ("alpha", "Krippendorff's alpha"),
        )
    ]
    for name, row in found["dimensions"].items():
        lines.append(f"{name}, {row['answers']} answers: experts agree {told(row['expert_expert'])}")
        lines.append(f"  Krippendorff's alpha: {told(row['alpha'])}")
    lines += [f"Cohen's kappa of {' and '.join(row['annotators'])}: {told(row['kappa'])}" for row in found["kappa"]]
    for name, error in found["error"].items():
        lines.append(f"error of {name}: {found['error_unknown'].get(name) or told(error)}")
        if name in found["quality"]:
            rates = "{sensitivity:.3f} of what is right or better, {specificity:.3f} of what is not"
            lines.append(f"  {name} sees " + rates.format(**found["quality"][name]))
    lines += [f"oversight, {name.replace('_', ' ')}: {told(e)}" for name, e in (found["oversight"] or {}).items()]
    lines += [f"labels in lane {lane}: {count}" for lane, count in found["by_lane"].items()]
    lines += [f"labels by {name}: {count}" for name, count in found["by_annotator"].items()]
    if time := found["seconds"]:
        lines.append("seconds a label: median {median:.1f}, 90th percentile {p90:.1f} (n={n})".format(**time))
    if found["cost"]:
        lines.append(f"cost: {found['cost']:.2f}")
    return lines


def _run(arguments: argparse.Namespace) -> RunFolder:
    from superalign.store.folder import RunFolder

    return RunFolder.open(arguments.run)


def _queue(run: RunFolder, new: bool = False, asks: bool = True) -> ExpertQueue:
    """The queue of a run, where its configuration says; made if `new`. One that `asks` knows the run's policy."""
    from superalign.config.texts import policy_of_run
    from superalign.experts.queue import ExpertQueue

    settings = run.located_config()
    store = settings["expert"].get("store")
    if store is None and not new and not run.experts_path.is_file():
        raise UserError(f"{run.folder} has no expert queue yet: no item was escalated")
    return ExpertQueue.of_run(run.experts_path, store, policy_of_run(settings) if asks else None)


def _guideline(run: RunFolder, queue: ExpertQueue) -> str | None:
    """That of the run's folder, or else the policy's."""
    from superalign.experts.questions import unwrapped

    path = run.folder / GUIDELINE
    try:
        if not path.is_file():
            return unwrapped(queue.policy.guideline) or None if queue.policy else None
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error}") from None


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} should be a port, 0 to 65535")
    return int(text)
