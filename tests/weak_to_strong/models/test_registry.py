from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForSequenceClassification,
    T5Config,
    T5ForConditionalGeneration,
)

from superalign.errors import UserError
from superalign.models import load_base, load_chat
from superalign.weak_to_strong.base import FitSettings, Ints, Kind, Rows, Text, WeakLabels
from superalign.weak_to_strong.models import backbones
from superalign.weak_to_strong.models.losses import Confidence, CrossEntropy
from superalign.weak_to_strong.models.registry import Student, make_student

WORDS = ["how", "do", "I", "bake", "a", "cake", "the", "answer", "is", "no", "cannot", "help"]
YES, NO = "yes " * 6, "no " * 6
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
SIZES = {"vocab_size": 320, "bos_token_id": None, "eos_token_id": 1}
FINETUNING = FitSettings(epochs=12, learning_rate=3e-3, batch_size=16)


def answers(n: int = 96, seed: int = 0) -> tuple[Rows, Ints]:
    """Texts of many lengths; those of class 1 say yes."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n)

    def text(yes: int) -> Text:
        return Text(" ".join(rng.choice(WORDS, rng.integers(1, 15))), YES if yes else NO)

    names = tuple(map(str, range(n)))
    return Rows(names, names, tuple(text(y) for y in truth)), truth


def pairs(n: int = 96) -> tuple[Rows, Ints]:
    """Pairs of the same; the better one says yes."""
    rows, truth = answers(n)
    assert isinstance(rows.inputs, tuple)
    says = {1: NO, 0: YES}
    seconds = tuple(replace(t, response=says[int(y)]) for t, y in zip(rows.inputs, truth, strict=True))
    return replace(rows, seconds=seconds), truth


def certain(truth: Ints) -> WeakLabels:
    return WeakLabels.of(np.eye(2)[truth], "weak")


def accuracy(student: Student, rows: Rows, truth: Ints) -> float:
    return float((student.predict(rows).argmax(1) == truth).mean())


@pytest.fixture(scope="module")
def encoder(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Saves a model of another architecture beside the tiny tokenizer."""

    def save(made: Any) -> str:
        folder = tmp_path_factory.mktemp("model")
        made.save_pretrained(folder)
        AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
        return str(folder)

    return save


def family(tiny_model: str, save: Callable[..., str], name: str) -> str:
    torch.manual_seed(0)
    llama = LlamaConfig.from_pretrained(tiny_model)
    bert = BertConfig(vocab_size=320, max_position_embeddings=64, **SMALL)
    if name == "llama":
        return tiny_model
    if name == "llama classifier":
        llama.num_labels = 2
        return save(LlamaForSequenceClassification(llama))
    if name == "reward model":
        llama.num_labels = 1
        return save(LlamaForSequenceClassification(llama))
    if name == "gpt2":
        return save(GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=128, **SIZES)))
    if name == "bert classifier":
        return save(BertForSequenceClassification(bert))
    return save(BertForMaskedLM(bert))


@pytest.mark.parametrize("kind", ["classify", "pairs"])
@pytest.mark.parametrize("spec", ["words:20", "lsa:10", "probe:tiny", "lora:tiny", "full:tiny"])
def test_every_kind_of_student_learns_from_texts(spec: str, kind: Kind, tiny_model: str) -> None:
    rows, truth = answers() if kind == "classify" else pairs()
    name = spec.replace("tiny", tiny_model)
    student = make_student(name, rows, 2, kind, seed=0)
    train, test = np.arange(64), np.arange(64, 96)
    settings = FINETUNING if spec[:4] in ("lora", "full") else FitSettings(epochs=60, learning_rate=3e-2)
    history = student.fit(rows.take(train), certain(truth[train]), CrossEntropy(), settings, 0, watch=rows.take(test))
    p = student.predict(rows.take(test))
    np.testing.assert_allclose(p.sum(1), 1)
    assert (p.argmax(1) == truth[test]).mean() > 0.85
    assert history.watched[-1].tolist() == p.argmax(1).tolist()


@pytest.mark.parametrize("name", ["llama classifier", "reward model", "gpt2", "bert", "bert classifier"])
@pytest.mark.parametrize("kind", ["classify", "pairs"])
def test_other_architectures_are_finetuned_too(
    name: str, kind: Kind, tiny_model: str, encoder: Callable[..., str]
) -> None:
    model = family(tiny_model, encoder, name)
    rows, truth = answers(48) if kind == "classify" else pairs(48)
    settings = replace(FINETUNING, learning_rate=1e-2)
    for spec in (f"full:{model}", f"lora:{model}"):
        student = make_student(spec, rows, 2, kind, seed=0)
        losses = student.fit(rows, certain(truth), CrossEntropy(), settings, 0).loss
        assert np.mean(losses[-3:]) < 0.7 * np.mean(losses[:3]), spec
        assert student.features(rows).shape == (48, 32)


def test_digits_replicate_what_was_measured() -> None:
    """Naive students recover some of the gap and the confidence loss more (arXiv 2312.09390 fig. 5)."""
    from sklearn.datasets import load_digits

    images, digit = load_digits(return_X_y=True)
    truth = np.isin(digit, [1, 4, 5, 7, 9]).astype(int)
    names = tuple(map(str, range(len(images))))
    rows, found = Rows(names, names, (images / 16).astype(np.float32)), []
    for seed in range(3):
        first, second, test = np.split(np.random.default_rng(seed).permutation(len(images)), [650, 1300])
        weak, *students = (make_student(s, rows, 2, "classify", seed) for s in ("pixels:4", *["centroids:300"] * 3))
        weak.fit(rows.take(first), certain(truth[first]), CrossEntropy(), FitSettings(), seed)
        labels = WeakLabels.of(weak.predict(rows.take(second)), "pixels:4")
        for student, given, objective in zip(
            students,
            (labels, labels, certain(truth[second])),
            (CrossEntropy(), Confidence(), CrossEntropy()),
            strict=True,
        ):
            student.fit(rows.take(second), given, objective, FitSettings(), seed)
        found.append([accuracy(s, rows.take(test), truth[test]) for s in (weak, *students)])
    low, naive, confidence, ceiling = np.mean(found, axis=0)
    assert 0.1 < (naive - low) / (ceiling - low) < 0.4
    assert (confidence - naive) / (ceiling - low) > 0.1


def test_a_pair_is_the_difference_of_two_scores(tiny_model: str) -> None:
    rows, truth = pairs(24)
    swapped = replace(rows, inputs=rows.seconds, seconds=rows.inputs)
    for spec in ("words:20", f"full:{tiny_model}"):
        student = make_student(spec, rows, 2, "pairs", seed=0)
        student.fit(rows, certain(truth), CrossEntropy(), replace(FINETUNING, epochs=1), 0)
        np.testing.assert_allclose(student.predict(rows)[:, 1], student.predict(swapped)[:, 0], atol=1e-6)
        np.testing.assert_allclose(student.features(rows), -student.features(swapped), atol=1e-5)


def test_a_finetuned_head_begins_with_the_unembedding_of_its_digits(tiny_model: str) -> None:
    rows, _ = answers(8)
    student = make_student(f"full:{tiny_model}", rows, 2, "classify", seed=0)
    chat, base = load_chat(tiny_model), load_base(tiny_model)
    assert isinstance(rows.inputs, tuple)
    text = rows.inputs[0]
    ids = chat.prompt_ids([{"role": "user", "content": text.prompt}]) + chat.closed(chat.encode(text.response))
    with torch.no_grad():
        logits = base(torch.tensor([ids])).logits[0, -1, [chat.encode("0")[-1], chat.encode("1")[-1]]]
    np.testing.assert_allclose(student.predict(rows)[0], torch.softmax(logits, 0), atol=1e-5)


def test_a_classifier_keeps_its_own_head(tiny_model: str, encoder: Callable[..., str]) -> None:
    torch.manual_seed(0)
    made = BertForSequenceClassification(BertConfig(vocab_size=320, max_position_embeddings=64, **SMALL)).eval()
    model, (rows, _) = encoder(made), answers(4)
    student = make_student(f"full:{model}", rows, 2, "classify", seed=0)
    batch = backbones.tokens(model, rows.inputs).batch(np.arange(4))  # type: ignore[arg-type]
    with torch.no_grad():
        logits = made(input_ids=batch.ids, attention_mask=batch.mask, token_type_ids=batch.types).logits
    np.testing.assert_allclose(student.predict(rows), torch.softmax(logits, 1), atol=1e-5)


def test_the_last_token_is_found_by_the_mask_and_not_by_an_id(tiny_model: str) -> None:
    # The pad token's own id among the words would mislead whoever counts ids.
    from superalign.weak_to_strong.models.tokenization import last_token

    states = torch.arange(12.0).reshape(2, 3, 2)
    assert last_token(states, torch.tensor([[1, 1, 0], [1, 1, 1]])).tolist() == [[2, 3], [10, 11]]


def test_special_tokens_in_a_text_are_words(tiny_model: str, encoder: Callable[..., str]) -> None:
    bert = family(tiny_model, encoder, "bert")
    for model in (tiny_model, bert):
        plain, forged = (backbones.tokens(model, (Text(t),)).batch(np.array([0])) for t in ("a", "a<|end|><|end|>"))
        assert (plain.ids == 1).sum() == (forged.ids == 1).sum()


def test_an_adapter_leaves_the_base_as_it_was_and_the_same_seed_gives_the_same_bits(tiny_model: str) -> None:
    rows, truth = answers(32)
    found = []
    for seed in (0, 0, 1):
        student = make_student(f"lora:{tiny_model}", rows, 2, "classify", seed)
        student.fit(rows, certain(truth), Confidence(), replace(FINETUNING, epochs=2), 0)
        module = student._module  # type: ignore[attr-defined]
        trained = {name for name, p in module.named_parameters() if p.requires_grad}
        assert all("lora_" in name or name.startswith("head.") for name in trained)
        frozen = module.body.layers[0].mlp.up_proj.base_layer.weight
        assert torch.equal(frozen, load_base(tiny_model).model.layers[0].mlp.up_proj.weight)
        found.append(student.predict(rows))
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_a_second_fit_begins_anew_and_finetuning_moves_the_features(tiny_model: str) -> None:
    rows, truth = answers(32)
    student = make_student(f"full:{tiny_model}", rows, 2, "classify", seed=0)
    before = student.features(rows)
    settings = replace(FINETUNING, epochs=2)
    student.fit(rows, certain(truth), CrossEntropy(), settings, 0)
    first = student.predict(rows)
    assert not np.allclose(student.features(rows), before)
    student.fit(rows, certain(truth), CrossEntropy(), settings, 0)
    np.testing.assert_array_equal(student.predict(rows), first)


def test_micro_batches_change_nothing_that_is_learnt(tiny_model: str) -> None:
    rows, truth = answers(32)
    found = []
    for size in (0, 4):
        student = make_student(f"lora:{tiny_model}", rows, 2, "classify", seed=0)
        settings = replace(FINETUNING, epochs=2, micro_batch=size)
        history = student.fit(rows, certain(truth), Confidence(), settings, 0)
        found.append(history.loss)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-3)


def test_vectors_are_read_as_they_are() -> None:
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    rows = Rows(tuple(map(str, range(40))), tuple(map(str, range(40))), x)
    student = make_student("vectors:", rows, 2, "classify", seed=0)
    np.testing.assert_array_equal(student.features(rows), x)
    np.testing.assert_array_equal(student.predict(rows), np.full((40, 2), 0.5))


def test_a_model_too_large_is_refused_before_it_is_loaded(tiny_model: str, tmp_path: Path) -> None:
    config = LlamaConfig(hidden_size=8192, intermediate_size=28672, num_hidden_layers=80, vocab_size=128_000)
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").touch()
    rows, _ = answers(8)
    needs = rf"strong=full:{re.escape(str(tmp_path))} needs about 1\d{{3}}\.\d GB and this machine has \d+\.\d GB free"
    with pytest.raises(UserError, match=f"{needs}: use lora: or probe:, or a smaller model"):
        make_student(f"full:{tmp_path}", rows, 2, "classify", seed=0)


def test_an_encoder_with_a_decoder_is_refused(encoder: Callable[..., str]) -> None:
    config = T5Config(vocab_size=320, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    model, (rows, _) = encoder(T5ForConditionalGeneration(config)), answers(8)
    with pytest.raises(UserError, match="T5ForConditionalGeneration has an encoder and a decoder"):
        make_student(f"probe:{model}", rows, 2, "classify", seed=0)


@pytest.mark.parametrize(
    ("spec", "kind", "says"),
    [
        ("prob:testbed", "classify", "unknown model 'prob:testbed'; did you mean probe?; write KIND:ARGUMENT"),
        ("words", "classify", "unknown model 'words'"),
        ("words:", "classify", "words: lacks what follows the colon; write for example words:60"),
        ("lora:testbed", "generate", "lora:testbed predicts classes and this task asks for completions"),
        ("full:nowhere", "classify", "there is no folder nowhere"),
        ("probe:testbed@99", "classify", "write for example probe:testbed@"),
    ],
)
def test_specs_that_name_no_student_are_refused(spec: str, kind: Kind, says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)):
        make_student(spec, answers(8)[0], 2, kind, seed=0)


def test_finetuning_of_vectors_is_refused() -> None:
    rows = Rows(("a", "b"), ("a", "b"), np.zeros((2, 4), dtype=np.float32))
    with pytest.raises(UserError, match="full:testbed reads texts and the task's rows are vectors; use pixels:4"):
        make_student("full:testbed", rows, 2, "classify", seed=0)
