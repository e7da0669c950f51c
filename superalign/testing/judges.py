"""The checks of judges and suites: outcomes of cases, probes, figures with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from superalign.evaluation.suites import Examined, Suite
from superalign.registry import JUDGES, SUITES, short_name
from superalign.roles.judge import make_judge
from superalign.roles.learner import Learner
from superalign.roles.protocols import Judge, MakesProbes
from superalign.stats.estimate import Estimate
from superalign.testing.complaints import Subject
from superalign.testing.testbed import KINDS, Services, cases, plugin_settings, queries, settings

PROBES = 6


def check_judge(plugin: str | type, given: Mapping[str, Any] | None = None) -> None:
    """Check a judge.

    It gives one of the four outcomes for each case, the same one wherever the case stands. Where it makes probes, they
    are the same each time, at most as many as asked for, and known to be right or wrong.

    Args:
        plugin: the class, or what `evaluation.judge=` would be.
        given: its settings.

    Raises:
        AssertionError: what is wrong, in a sentence.
    """
    subject = Subject.of("judge", plugin)
    with subject.doing("set-up"):
        JUDGES.load(subject.name)
        services = Services.start(settings(evaluation={"judge": subject.name}, judge=dict(given or {})))
        judge = make_judge(services.config, services.generator)
    subject.require(isinstance(judge.name, str) and judge.name, f"has {judge.name!r} for a name, which reports show")
    subject.require(isinstance(judge.exact, bool), f"has {judge.exact!r} for exact, which is true or false")
    asked = cases(4)
    with subject.doing("outcomes(cases)"):
        found, reversed_, nothing = judge.outcomes(asked), judge.outcomes(asked[::-1]), judge.outcomes([])
    subject.require(len(found) == len(asked), f"gives {len(found)} outcomes for {len(asked)} cases")
    unknown = [outcome for outcome in found if outcome not in KINDS]
    subject.require(not unknown, f"gives {unknown[:1]} for an outcome; there is: {', '.join(KINDS)}")
    subject.require(list(found) == list(reversed_)[::-1], "gives another outcome when the cases come in another order")
    subject.require(len(nothing) == 0, "gives outcomes of no cases")
    if isinstance(judge, MakesProbes):
        _check_probes(subject, judge)


def _check_probes(subject: Subject, judge: MakesProbes) -> None:
    with subject.doing("probes(queries, count, seed)"):
        probes, again = (judge.probes(queries(), PROBES, 0) for _ in range(2))
    subject.require(0 < len(probes) <= PROBES, f"makes {len(probes)} probes where at most {PROBES} are asked for")
    subject.require(probes == again, "makes other probes with the same seed")
    for probe in probes:
        subject.require(probe.acceptable in (0, 1), f"calls a probe acceptable = {probe.acceptable!r}, not 0 or 1")


def check_suite(plugin: str | type, given: Mapping[str, Any] | None = None) -> None:
    """Check a suite: figures with intervals around them, the same ones of the same learner.

    Args:
        plugin: the class, or what `evaluation.suites=` would be.
        given: its settings.

    Raises:
        AssertionError: what is wrong, in a sentence.
    """
    subject = Subject.of("suite", plugin)
    with subject.doing("set-up"):
        own = plugin_settings(short_name(subject.name), given)
        services = Services.start(settings(evaluation={"suites": (subject.name,)}, plugin=own))
        suite: Suite = SUITES.make(subject.name, services.config.plugin)
        judge: Judge = make_judge(services.config, services.generator)
        learner = Learner(services.config, services.generator, None)
    subject.require(isinstance(suite.name, str) and suite.name, f"has {suite.name!r} for a name, which figures bear")
    with subject.doing("run(examined)"):
        found, again = (suite.run(Examined(services.config, learner, judge, services.generator)) for _ in range(2))
    subject.require(isinstance(found, Mapping) and found, "gives no figures")
    for name, e in found.items():
        subject.require(isinstance(e, Estimate), f"gives a {type(e).__name__} and no Estimate for {name}")
        fine = all(map(math.isfinite, (e.low, e.value, e.high))) and e.low <= e.value <= e.high
        subject.require(fine, f"gives {name} = {e.value} with the interval {e.low} to {e.high}")
        subject.require(e.n > 0, f"gives {name} of n = {e.n} rows")
    subject.require(found == again, "gives other figures of the same learner the second time")
