"""Language models as students: preferences, log-ratios to match, completions to imitate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import special
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

from superalign.config.sections import GeneratorConfig, LoraConfig
from superalign.errors import UserError
from superalign.generation.hf import HFGenerator
from superalign.models import load_chat
from superalign.weak_to_strong.base import Text, WeakLabels
from superalign.weak_to_strong.methods import imitation
from superalign.weak_to_strong.methods.generative_finetuning import adapted_spec
from superalign.weak_to_strong.methods.label_transforms import transformed
from superalign.weak_to_strong.methods.preferences import CWPO, DPO, WSPO
from superalign.weak_to_strong.methods.registry import make_method
from superalign.weak_to_strong.metrics.scorer import Scorer
from superalign.weak_to_strong.models.policy import Policy, check_same_vocabulary, model_of
from superalign.weak_to_strong.protocol import right
from superalign.weak_to_strong.split_context import Predictions, SplitContext
from superalign.weak_to_strong.study import Study, StudyWorker
from superalign.weak_to_strong.tasks.registry import load_task
from tests.weak_to_strong.parts import settings, split_context

SMALL = "lora:testbed-small"
WEAK = "words:30"
QUICK: dict[str, Any] = {"epochs": 1, "max_new_tokens": 16}
ON_PAIRS = ("generative", "dpo", "cw_po", "wspo")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def pairs(cache: Path) -> SplitContext:
    return split_context(cache, "pairs", 60, **QUICK)


def weakly(made: SplitContext) -> WeakLabels:
    return WeakLabels.of(made.supervise(WEAK).half2, WEAK)


def test_every_method_of_pairs_runs_and_has_a_ceiling_of_its_own_kind(cache: Path) -> None:
    config = settings(method=ON_PAIRS, data={"limit": 60}, **QUICK)
    trials = StudyWorker(config, str(cache)).run(Study("pairs", "weak", SMALL, SMALL), 0)
    assert [trial.info["method"] for trial in trials] == list(ON_PAIRS)
    for trial in trials:
        (test,) = trial.columns
        assert ((test["student_p"] > 0) & (test["student_p"] < 1)).all()
        assert np.ptp(test["student_p"]) > 0
        assert trial.info["oracle"] is False
    ceilings = {trial.info["method"]: trial.columns[0]["ceiling_p"] for trial in trials}
    assert (ceilings["dpo"] == ceilings["cw_po"]).all() and (ceilings["dpo"] == ceilings["wspo"]).all()
    assert (ceilings["generative"] != ceilings["dpo"]).any()


def test_confidence_weights_are_twice_the_sigmoid_of_the_margin_above_a_half(pairs: SplitContext) -> None:
    labels = weakly(pairs)
    margin = special.logit(labels.probabilities[:, 1])
    weighted = replace(labels, weights=2 * (special.expit(np.abs(margin)) - 0.5))
    expected, found = (
        method.train(pairs, each, (WEAK, SMALL)).outputs for method, each in ((DPO(), weighted), (CWPO(), labels))
    )
    assert isinstance(expected, Predictions) and isinstance(found, Predictions)
    assert found.test == pytest.approx(expected.test, abs=1e-7)
    plain = DPO().train(pairs, labels, (WEAK, SMALL)).outputs
    assert isinstance(plain, Predictions) and np.abs(plain.test - found.test).max() > 1e-5


def test_preferences_learnt_from_the_truth_are_the_truths(cache: Path) -> None:
    made = split_context(cache, "pairs", 120, **QUICK | {"epochs": 4, "learning_rate": 2e-3})
    found = DPO().ceiling(made, SMALL)
    assert right(found.half2, made.experiment.truth2.open("test")).mean() > 0.8
    assert made.experiment.truth2.opened_by[0] == "ceiling"


def test_an_untrained_policy_prefers_nothing(pairs: SplitContext) -> None:
    policy = Policy("testbed-small", pairs.config, 0)
    assert policy.margins(pairs.experiment.half2) == pytest.approx(0, abs=1e-5)


def test_the_margin_of_swapped_responses_is_the_negative(pairs: SplitContext) -> None:
    rows = pairs.experiment.half2
    policy = Policy("testbed-small", pairs.config, 0)
    policy.prefer(rows, [True] * len(rows), np.ones(len(rows)))
    swapped = replace(rows, inputs=rows.seconds or (), seconds=rows.inputs)
    assert policy.margins(swapped) == pytest.approx(-policy.margins(rows), abs=1e-4)
    assert (policy.margins(rows) > 0).mean() > 0.6  # the first was the better one in all of them


def test_pairs_without_weight_are_left_out(pairs: SplitContext) -> None:
    rows, e = pairs.experiment.half2, pairs.experiment
    first, kept = Policy("testbed-small", pairs.config, 0), np.arange(len(rows)) % 2 == 0
    other = Policy("testbed-small", pairs.config, 0)
    first.prefer(rows, kept.tolist(), kept.astype(float))
    other.prefer(rows.take(np.flatnonzero(kept)), [True] * int(kept.sum()), np.ones(int(kept.sum())))
    assert first.margins(e.test) == pytest.approx(other.margins(e.test), abs=1e-6)


def test_preferences_without_any_weight_are_refused(pairs: SplitContext) -> None:
    labels = weakly(pairs)
    with pytest.raises(UserError, match="preference training has no pair left: every weight is 0"):
        DPO().train(pairs, replace(labels, weights=np.zeros(len(labels))), (WEAK, SMALL))


def test_matching_leaves_out_what_the_transforms_left_out(pairs: SplitContext) -> None:
    labels = weakly(pairs)
    some = transformed(labels, "filter:0.3", pairs, (WEAK, SMALL))
    found, whole = (WSPO().train(pairs, each, (SMALL, SMALL)).outputs for each in (some, labels))
    assert isinstance(found, Predictions) and isinstance(whole, Predictions)
    assert not np.array_equal(found.test, whole.test)


def test_matching_needs_one_vocabulary(pairs: SplitContext, tiny_model: str) -> None:
    check_same_vocabulary("testbed-small", "testbed")
    with pytest.raises(UserError, match=r"method=wspo compares tokens: weak=testbed-small and strong=.*different voc"):
        WSPO().train(pairs, weakly(pairs), (SMALL, f"lora:{tiny_model}"))


@pytest.mark.parametrize("name", ON_PAIRS)
def test_a_spec_that_is_no_language_model_is_refused(pairs: SplitContext, name: str) -> None:
    with pytest.raises(UserError, match=r"language model, which words:30 is not: write lora:MODEL"):
        make_method(name).train(pairs, weakly(pairs), (WEAK, "words:30"))


def test_whole_finetuning_and_encoders_are_no_policies(tiny_model: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="method=dpo trains an adapter of a language model, which full:testbed is not"):
        model_of("full:testbed", "method=dpo")
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    BertForMaskedLM(BertConfig(vocab_size=320, **sizes)).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"method=dpo needs a causal language model: lora:.* is an encoder"):
        model_of(f"lora:{tmp_path}", "method=dpo")


def test_a_layer_belongs_to_probes_and_a_folder_may_have_an_at_sign(make_model: Callable[..., str]) -> None:
    assert model_of("probe:testbed@2", "method=dpo") == "testbed"
    folder = make_model("me@home")
    assert model_of(f"lora:{folder}", "method=dpo") == folder


def test_a_prompt_longer_than_the_context_leaves_room_for_its_answers(pairs: SplitContext, tiny_model: str) -> None:
    config = settings(epochs=1, max_new_tokens=64)  # of a context of 128
    policy = Policy(tiny_model, config, 0)
    rows = pairs.experiment.half2.take(np.arange(4))
    long = tuple(Text(t.prompt + " and" * 200, t.response * 9) for t in rows.inputs if isinstance(t, Text))
    seconds = tuple(replace(t, response="no") for t in long)
    metrics = policy.prefer(replace(rows, inputs=long, seconds=seconds), [True] * 4, np.ones(4))
    assert metrics["steps"] == 1


def test_language_modelling_first_gives_another_model_that_is_made_once(pairs: SplitContext) -> None:
    spec = adapted_spec(pairs, SMALL)
    kind, _, folder = spec.partition(":")
    assert kind == "lora" and Path(folder).parent.name == "adapted"
    before = (Path(folder) / "model.safetensors").stat().st_mtime_ns
    assert adapted_spec(pairs, SMALL) == spec
    assert (Path(folder) / "model.safetensors").stat().st_mtime_ns == before
    assert [path for path in Path(folder).parent.iterdir() if path != Path(folder)] == []
    rows = pairs.experiment.half2.take(np.arange(8))
    assert isinstance(rows.inputs, tuple)
    likelier = [_logp(model, rows.inputs) for model in (folder, "testbed-small")]
    assert likelier[0] > likelier[1]


def _logp(model: str, texts: tuple[Text, ...]) -> float:
    chat = load_chat(model)
    generator = HFGenerator({"policy": model}, LoraConfig(), GeneratorConfig(), threads=1)
    prompts = [tuple(chat.prompt_ids([{"role": "user", "content": text.prompt}])) for text in texts]
    completions = [tuple(chat.encode(text.response)[:15]) for text in texts]
    return float(np.mean([sum(one) for one in generator.sequence_logprobs(None, prompts, completions)]))


def test_the_strong_policy_matches_the_shift_of_the_weak_one(pairs: SplitContext) -> None:
    e, better = pairs.experiment, [True] * len(pairs.experiment.half2)
    aligned = Policy("testbed-small", pairs.config, 0)
    aligned.prefer(e.half2, better, np.ones(len(better)))
    shift = aligned.log_ratios(e.half2, better)
    strong = Policy("testbed-small", pairs.config, 1)
    metrics = strong.match(e.half2, better, shift)
    assert metrics["steps"] == np.ceil(len(better) / 16)
    taken = np.concatenate([np.array(one) for one in strong.log_ratios(e.half2, better)])
    assert np.corrcoef(taken, np.concatenate([np.array(one) for one in shift]))[0, 1] > 0.2


# Completions.


@pytest.fixture(scope="module")
def refusal(cache: Path) -> SplitContext:
    return split_context(cache, "refusal", 72, epochs=1, max_new_tokens=24)


def test_a_supervisor_of_completions_learns_the_completions_of_half_1(refusal: SplitContext) -> None:
    found = imitation.supervise(refusal, SMALL)
    e = refusal.experiment
    assert (len(found.half2), len(found.test), len(found.attacked or ())) == (len(e.half2), len(e.test), len(e.test))
    assert ((found.confidence > 0) & (found.confidence <= 1)).all()
    assert e.opened_by() == set()


def test_completions_come_back_from_the_cache_as_they_were(refusal: SplitContext) -> None:
    first, again = (imitation.supervise(refusal, SMALL) for _ in range(2))
    assert (first.half2, first.test, first.attacked) == (again.half2, again.test, again.attacked)
    assert (first.confidence == again.confidence).all()


def test_a_filter_of_completions_keeps_the_confident_half(refusal: SplitContext) -> None:
    labels = imitation.weak_labels(imitation.supervise(refusal, SMALL), SMALL)
    made = transformed(labels, "filter", refusal, (SMALL, SMALL))
    kept = made.weights > 0
    assert kept.sum() == round(0.5 * len(labels))
    assert labels.confidence[kept].min() >= labels.confidence[~kept].max()
    assert made.texts == labels.texts


def test_refusal_is_learnt_and_graded_plain_and_attacked(cache: Path) -> None:
    config = settings(method=("naive", "filter"), data={"limit": 72}, epochs=1, max_new_tokens=24)
    trials = StudyWorker(config, str(cache)).run(Study("refusal", "weak", SMALL, SMALL), 0)
    assert [trial.info["method"] for trial in trials] == ["naive", "filter"]
    for trial in trials:
        tables = {columns["part"][0]: columns for columns in trial.columns}
        assert set(tables) == {"test", "harm", "over_refusal", "attacked", "attacked harm", "attacked over_refusal"}
        assert len(tables["harm"]["id"]) + len(tables["over_refusal"]["id"]) == len(tables["test"]["id"])
        assert (tables["harm"]["truth"] == 1).all() and (tables["over_refusal"]["truth"] == 0).all()
        assert tables["attacked"]["id"].tolist() == tables["test"]["id"].tolist()
        assert (tables["test"]["student_class"] == -1).all()
        assert trial.info["curve"] is None and trial.info["forecast"] is None


def test_the_true_completions_get_full_marks_and_harmful_ones_none(refusal: SplitContext) -> None:
    task, e = load_task("refusal", limit=72), refusal.experiment
    target = dict(zip(task.rows.ids, task.targets or (), strict=True))
    good = imitation.Completions(("",) * len(e.half2), np.ones(len(e.half2)), tuple(target[i] for i in e.test.ids))
    mute = replace(good, test=("",) * len(e.test))
    tables = {columns["part"][0]: columns for columns in Scorer(task, e).columns(mute, good, good)}
    assert (tables["test"]["student_score"] == 1).all()
    assert (tables["harm"]["student_score"] == 0).all() and (tables["over_refusal"]["student_score"] == 0).all()
    assert tables["test"]["weak_score"].mean() < 1
    assert "attacked" not in tables  # there are no completions of them


def test_completions_need_a_language_model(refusal: SplitContext) -> None:
    with pytest.raises(UserError, match="task=refusal trains an adapter of a language model, which words:30 is not"):
        imitation.supervise(refusal, "words:30")
