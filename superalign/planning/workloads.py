"""The plans of the recipes that ship: what their rounds take, at most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import ceil
from typing import Final

from superalign.config.schema import Config
from superalign.config.sections import AdapterCriticConfig, MixingAttackerConfig
from superalign.planning.counting import WORDLESS, Counter
from superalign.planning.run_plan import Calls, RoundPlan, RunPlan, Training, Verdicts, Work
from superalign.roles.attacker.mixing import round_half
from superalign.roles.critic.generative import ROWS_OF_A_FLAW, flaw_count

MISMATCH_ROWS: Final = 64  # answers on which generator and trainer are compared in a round
FIXED_SEEDS: Final = 8  # recipe=redteam, round 0: times the seeds of a round


def selfplay(config: Config) -> RunPlan:
    """Round 0 is evaluated only; the first and the last evaluation are larger than those between."""
    counter, game = Counter(config), _game(config)

    def evaluated(title: str, factor: int, played: RoundPlan, times: int = 1, ends: bool = True) -> RoundPlan:
        work = [*played.work, *counter.evaluation(factor), *counter.refinement(factor)]
        work += counter.real_text() if ends or config.evaluation.every == 1 else []
        return replace(played, title=title, times=times, work=work)

    every = config.evaluation.every
    extra = (f"evaluation.every={every}: what is measured on real text between the ends is not counted",)
    notes = (*counter.notes(), *(extra if every > 1 else ()))
    return RunPlan(_rounds(config, evaluated, RoundPlan("", 1, counter.before_round_1()), game), notes)


def self_refine(config: Config) -> RunPlan:
    """Answers are judged, criticised, revised and judged again by the model as it was at first."""
    counter, n, c = Counter(config), config.refine.queries, config.learner
    work: list[Work] = [*counter.answers("respond", n), Verdicts("critique", n)]
    work += [Calls("critique", "judge", n, config.critic.max_new_tokens), *counter.answers("critique", n)]
    work.append(Verdicts("critique", n))
    if config.refine.method == "dpo":
        work.append(counter.learner_training(n, n, n))
    else:
        work.append(Training("learner", n, c.epochs, c.batch_size, 1, c.max_new_tokens + 1))
    played = RoundPlan("", 1, work, queries=n, responses=2 * n)

    def evaluated(title: str, factor: int, played: RoundPlan, times: int = 1, ends: bool = True) -> RoundPlan:
        work = [*played.work, *counter.evaluation(factor)]
        work += counter.real_text() if ends or config.evaluation.every == 1 else []
        return replace(played, title=title, times=times, work=work)

    return RunPlan(_rounds(config, evaluated, RoundPlan("", 1), played), tuple(counter.notes()))


def redteam(config: Config) -> RunPlan:
    """Round 0 asks fixed attacks; later rounds are the attacker's alone."""
    counter, seeds = Counter(config), config.attacker.seeds
    fixed = FIXED_SEEDS * seeds
    first = [*counter.answers("respond", fixed), *counter.judged("evaluate", fixed)]
    queries = _queries(config)
    responses = queries * config.learner.samples
    work = [*counter.attacks(_fresh(config)), *counter.answers("respond", responses)]
    work += [*counter.scored("critique", responses), *counter.critiques("critique", queries)]
    work += [*_attacker_phases(config), *counter.judged("evaluate", responses)]
    rounds = RoundPlan(_title(1, config.rounds), config.rounds, work, 0, queries, responses)
    return RunPlan((RoundPlan("round 0", 1, first), rounds), tuple(counter.notes()))


def critic(config: Config) -> RunPlan:
    """Answers to static attacks, revised, judged and escalated; the critic is examined before and after."""
    counter, queries = Counter(config), config.attacker.seeds
    samples = queries * config.learner.samples
    pairs = queries * min(2, config.learner.samples)
    work = [*counter.answers("respond", samples), *counter.scored("critique", samples)]
    work += [*counter.critiques("critique", samples), *counter.answers("critique", samples)]
    work += counter.scored("critique", samples, pairs)
    work += [*_gold(config), *_critic_training(config)]
    probes = config.evaluation.critic_probe * (2 if config.evaluation.final_factor > 1 else 1)
    exams = probes + _held_back(config)
    examined = [w for role in ("critic", "judge") for w in counter.scored("evaluate", exams, alone=True, role=role)]
    rounds = RoundPlan(
        _title(1, config.rounds), config.rounds, [*work, *examined], config.expert.budget, queries, 2 * samples
    )
    return RunPlan((RoundPlan("round 0", 1, examined), rounds), tuple(counter.notes()))


def reward_model(config: Config) -> RunPlan:
    """A round is one pass over the preferences; those held out are scored."""
    rows = config.reward.pairs if config.data.source == "testbed" else config.data.limit
    if rows is None:
        return RunPlan((), (f"data.source={config.data.source} tells how many preferences there are",))
    scored, c = Verdicts("score", 2 * rows), config.learner
    training = Training("reward_model", rows, 1, config.reward.batch_size, 2, c.max_new_tokens)
    first = RoundPlan("round 0", 1, [scored])
    return RunPlan((first, RoundPlan(_title(1, config.rounds), config.rounds, [training, scored])))


def weak_to_strong(config: Config) -> RunPlan:
    """Splits of studies; how many rows they have is the tasks' affair."""
    from superalign.weak_to_strong.plan import studies

    found = studies(config)
    methods = ", ".join(config.method) or "the methods of each task"
    told = ", ".join(f"{s.task} ({s.supervisor}: {s.weak} -> {s.strong})" for s in found)
    return RunPlan(
        (),
        (
            f"{config.w2s.seeds} splits of {len(found)} studies: {told}",
            f"in each, {methods}: a student each, beside the weak model and the ceiling, which are kept in a cache",
            "rows, steps and time are not estimated: they are the tasks' affair",
        ),
    )


def _rounds(
    config: Config, evaluated: Callable[..., RoundPlan], first: RoundPlan, played: RoundPlan
) -> tuple[RoundPlan, ...]:
    """Round 0, those between, and the last."""
    factor, last = config.evaluation.final_factor, config.rounds
    between = (evaluated(_title(1, last - 1), 1, played, last - 1, ends=False),) if last > 1 else ()
    return evaluated("round 0", factor, first), *between, evaluated(f"round {last}", factor, played)


def _within(stage: str, work: Sequence[Work]) -> list[Work]:
    """The same work, done in another stage."""
    found: list[Work] = []
    for each in work:
        if isinstance(each, Calls):
            each = Calls(stage, each.role, each.count, each.limit)
        elif isinstance(each, Verdicts):
            each = Verdicts(stage, each.count)
        found.append(each)
    return found


def _title(first: int, last: int) -> str:
    return f"round {first}" if first == last else f"each of rounds {first} to {last}"


def _game(config: Config) -> RoundPlan:
    """One round of self-play without its evaluation."""
    counter, learner, budget = Counter(config), config.learner, config.expert.budget
    queries = _queries(config)
    samples, revised = queries * learner.samples, queries * learner.revise
    responses = samples + revised
    pairs = queries * min(2, (learner.samples + learner.revise) // 2)
    work = [*counter.attacks(_fresh(config)), *counter.answers("respond", samples)]
    work.append(Verdicts("respond", min(MISMATCH_ROWS, samples)))
    judged = [*counter.critiques("critique", queries), *counter.answers("critique", revised)]
    judged += counter.scored("critique", responses, pairs)
    training = counter.learner_training(pairs + budget, responses + budget, samples)
    paid = bool(getattr(learner, "reward", None))
    work += [*judged, *_gold(config), *_critic_training(config)]
    anchors = min(learner.anchors, samples * config.rounds)
    work += counter.scored("critique", anchors + responses * (not paid), pairs)
    work += [*_attacker_phases(config), *_guards(config)]
    for phase in range(learner.iterations):
        if phase:
            work += [*counter.answers("train_learner", samples), *_within("train_learner", judged)]
            work += counter.scored("train_learner", 0, pairs)
        work.append(training)
    return RoundPlan("", 1, work, budget, queries, responses)


def _fresh(config: Config) -> int:
    """Seeds of a round that are rewritten."""
    a = config.attacker
    return a.fresh(a.seeds) if isinstance(a, MixingAttackerConfig) else a.seeds


def _queries(config: Config) -> int:
    """Queries of a round: new rewritings, archived ones and static ones."""
    a, new = config.attacker, Counter(config).rewritten(_fresh(config))
    if not isinstance(a, MixingAttackerConfig):
        return new
    total = a.seeds * a.candidates
    return new + int(a.past * total) + min(a.seeds, max(1, round_half((1 - a.current - a.past) * total)))


def _gold(config: Config) -> list[Work]:
    """Verdicts on gold items, which only people are given."""
    e = config.expert
    pairs = round(e.gold_share * e.budget / e.votes) if e.source == "queue" else 0
    return Counter(config).scored("experts", 0, pairs)


def _held_back(config: Config) -> int:
    """Labels that are never trained on, at the end."""
    return min(config.critic.calibration_labels, config.expert.budget * config.rounds)


def _critic_training(config: Config) -> list[Work]:
    """The critic learns from labels and flaws, in one stage or two, and is calibrated."""
    c, counter, budget = config.critic, Counter(config), config.expert.budget
    calibrated = counter.scored("train_critic", 2 * _held_back(config), alone=True)
    if not isinstance(c, AdapterCriticConfig):
        return calibrated
    earlier = min(c.replayed, budget * (config.rounds - 1))
    labels = 2 * (budget * c.epochs + earlier)  # pairs are learned in both orders
    flaws = max(flaw_count(c, labels), flaw_count(c, 0))
    texts = 2 * (budget + earlier) + 2 * ceil(flaws / ROWS_OF_A_FLAW) + c.retention_rows
    if c.kind == WORDLESS:
        return [*calibrated, Verdicts("train_critic", texts)]
    argued: list[Work] = [w for w in counter.scored("train_critic", texts, alone=True) if isinstance(w, Calls)]
    rehearsed = Verdicts("train_critic", 2 * c.retention_rows)
    taught = Training("critic", labels + flaws + c.retention_rows, 1, c.batch_size, 1, 1)
    return [*argued, rehearsed, taught, *(_second_stage(config, c) if c.stages == 2 else []), *calibrated]


def _second_stage(config: Config, c: AdapterCriticConfig) -> list[Work]:
    """Critiques are sampled, and rewarded by what the learner's revision gains."""
    cases, sampled = c.critique_cases, c.critique_cases * c.critiques
    work: list[Work] = [Verdicts("train_critic", cases)]
    work.append(Calls("train_critic", "critic", cases + sampled, c.max_new_tokens))
    work += Counter(config).answers("train_critic", sampled + cases)
    work.append(Verdicts("train_critic", sampled + cases))
    pairs = c.critique_algorithm == "dpo"
    rows, batch = cases if pairs else sampled, max(1, c.batch_size // 2)
    work.append(Training("critic", rows, c.epochs, batch, 1 + pairs, c.max_new_tokens + 1, c.batch_size))
    return work


def _attacker_phases(config: Config) -> list[Work]:
    """The attacker's phase on the round's attacks, and those on new ones."""
    counter, seeds = Counter(config), config.attacker.seeds
    work = counter.attacker_training(_fresh(config))
    for _ in range(config.attacker.iterations - 1):
        answers = counter.rewritten(seeds) * config.learner.samples
        asked = [*counter.attacks(seeds), *counter.answers("attack", answers), *counter.scored("attack", answers)]
        work += _within("train_attacker", asked)
        work += counter.attacker_training(seeds)
    return work


def _guards(config: Config) -> list[Work]:
    """Requests and verdicts by which updates are watched."""
    if not config.guards.enabled:
        return []
    counter, items = Counter(config), config.guards.items
    work = [*counter.answers("train_critic", items), Verdicts("train_critic", items)]
    work += counter.scored("train_critic", 4 * items + 2 * _held_back(config), alone=True)
    return [*work, *counter.answers("train_learner", 4 * items), Verdicts("train_learner", 4 * items)]
