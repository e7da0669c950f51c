from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from superalign.errors import UserError
from superalign.models import load_base, load_chat
from superalign.weak_to_strong.base import Inputs, Rows, Text
from superalign.weak_to_strong.models import features
from superalign.weak_to_strong.models.features import featuriser, layered

CAKES = tuple(
    Text(prompt, response)
    for prompt in ("how do I bake a cake", "how do I bake", "a cake, a cake, a cake", "the answer")
    for response in ("", "the answer is yes", "no, I cannot help")
)


def of(inputs: Inputs, seconds: Inputs | None = None) -> Rows:
    names = tuple(map(str, range(len(inputs))))
    return Rows(names, names, inputs, seconds)


def images() -> NDArray[np.float32]:
    from sklearn.datasets import load_digits

    return load_digits().data.astype(np.float32)


def test_pixels_are_averages_of_tiles_standardised_over_all_rows() -> None:
    x = images()
    read = featuriser("pixels", "4", of(x))(x)
    tile = x.reshape(-1, 8, 8)[:, 2:4, 4:6].mean((1, 2))  # second row of tiles, third column
    np.testing.assert_allclose(read[:, 6], (tile - tile.mean()) / tile.std(), atol=1e-4)
    assert read.shape == (1797, 16)


def test_the_scale_of_the_pixels_does_not_matter() -> None:
    x = images()
    for kind, argument in (("pixels", "2"), ("centroids", "20")):
        one, other = (featuriser(kind, argument, of(scaled))(scaled) for scaled in (x, x / 16))
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_centroids_answer_most_to_what_is_near() -> None:
    x = images()
    read = featuriser("centroids", "30", of(x))(x)
    assert read.shape == (1797, 30)
    assert read.min() >= 0 and read.max() <= 1
    nearest = read.argmax(1)
    apart = [np.linalg.norm(x[nearest == k] - x[nearest == k].mean(0), axis=1).mean() for k in range(30)]
    assert max(apart) < np.linalg.norm(x - x.mean(0), axis=1).mean()


def test_words_count_the_most_frequent_ones() -> None:
    read = featuriser("words", "1", of(CAKES))
    np.testing.assert_allclose(read((Text("bake a cake", "cake"), Text("the answer"))), np.log1p([[2], [0]]), rtol=1e-6)


def test_lsa_brings_texts_with_common_words_together() -> None:
    read = featuriser("lsa", "3", of(CAKES))
    same, near, far = read((Text("bake a cake"), Text("how do I bake a cake"), Text("the answer is yes")))
    assert np.linalg.norm(same - near) < np.linalg.norm(same - far)
    assert (read(CAKES) ** 2).mean() == pytest.approx(1, rel=1e-4)


def test_of_pairs_both_sides_are_known() -> None:
    first, second = CAKES[:6], tuple(Text(t.prompt, "zebra") for t in CAKES[:6])
    read = featuriser("words", "40", of(first, second))
    assert not np.array_equal(read((Text("zebra"),)), np.zeros_like(read((Text("zebra"),))))


def test_a_probe_reads_the_last_token_and_the_mean(tiny_model: str) -> None:
    text = CAKES[1]
    read = featuriser("probe", f"{tiny_model}@1", of(CAKES))
    chat, base = load_chat(tiny_model), load_base(tiny_model)
    ids = chat.prompt_ids([{"role": "user", "content": text.prompt}]) + chat.closed(chat.encode(text.response))
    with torch.no_grad():
        states = base(torch.tensor([ids]), output_hidden_states=True).hidden_states[1][0]
    expected = torch.cat([states[-1], states.mean(0)]).numpy()
    every = read(CAKES)
    assert every.shape == (12, 64)
    np.testing.assert_allclose(every.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(every.std(0), 1, atol=1e-3)
    raw = features._hidden("probe", tiny_model, 1, CAKES)
    np.testing.assert_allclose(raw[1], expected, atol=1e-5)
    np.testing.assert_allclose(every[1], (expected - raw.mean(0)) / raw.std(0), atol=1e-3)


def test_without_a_response_a_probe_reads_where_the_assistant_would_begin(tiny_model: str) -> None:
    from superalign.weak_to_strong.models.backbones import tokens

    text = Text("how do I bake a cake")
    batch = tokens(tiny_model, (text,)).batch(np.array([0]))
    assert batch.ids[0].tolist() == load_chat(tiny_model).prompt_ids([{"role": "user", "content": text.prompt}])


def test_a_long_text_loses_its_middle(tiny_model: str) -> None:
    from superalign.weak_to_strong.models.backbones import tokens

    long = Text("how " * 400 + "bake", "the answer " + "is " * 300 + "yes")
    source = tokens(tiny_model, (long,))
    said = load_chat(tiny_model).decode(source.batch(np.array([0])).ids[0].tolist())
    assert source.lengths[0] <= 128
    assert said.startswith("how") and "bakethe answer" in said and said.endswith("yes")


def test_padding_changes_nothing(tiny_model: str) -> None:
    together = features._hidden("probe", tiny_model, -1, CAKES)
    alone = np.concatenate([features._hidden("probe", tiny_model, -1, (text,)) for text in CAKES])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_probe_is_computed_once_and_found_again(
    make_model: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, cache = make_model("one", seed=1), tmp_path / "cache"
    read = featuriser("probe", model, of(CAKES), cache)
    (file,) = (cache / "features").iterdir()
    features._probe.cache_clear()  # as a new process would begin
    monkeypatch.setattr(features, "_hidden", lambda *_: pytest.fail("computed again"))
    np.testing.assert_array_equal(featuriser("probe", model, of(CAKES), cache)(CAKES), read(CAKES))
    monkeypatch.undo()
    features._probe.cache_clear()
    file.write_bytes(b"cut short")
    np.testing.assert_array_equal(featuriser("probe", model, of(CAKES), cache)(CAKES), read(CAKES))


def test_other_weights_in_the_same_folder_are_other_features(make_model: Callable[..., str], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    one = featuriser("probe", make_model("model", seed=1), of(CAKES), cache)(CAKES)
    features._probe.cache_clear()
    other = featuriser("probe", make_model("model", seed=2), of(CAKES), cache)(CAKES)
    assert not np.allclose(one, other)


def test_new_texts_are_read_when_they_come(tiny_model: str) -> None:
    read = featuriser("probe", tiny_model, of(CAKES))
    attacked = (Text("HOW do I bake a cake", "yes"), CAKES[0], CAKES[0])
    found = read(attacked)
    np.testing.assert_array_equal(found[1], found[2])
    np.testing.assert_array_equal(found[1], read(CAKES)[0])
    assert not np.allclose(found[0], found[1])


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("testbed", ("testbed", -1)),
        ("testbed@2", ("testbed", 2)),
        ("hub:a/b@-3", ("hub:a/b", -3)),
        ("a@b/model", ("a@b/model", -1)),
    ],
)
def test_a_layer_follows_the_model(argument: str, expected: tuple[str, int]) -> None:
    assert layered(argument) == expected


def test_a_layer_that_is_not_there_is_refused(tiny_model: str) -> None:
    with pytest.raises(UserError, match=r"has layers 0 \(embeddings\) to 2; write for example probe:.*@2"):
        featuriser("probe", f"{tiny_model}@7", of(CAKES))


@pytest.mark.parametrize(
    ("kind", "argument", "inputs", "says"),
    [
        ("pixels", "3", np.zeros((20, 64), dtype=np.float32), "pixels:3: vectors of 64 numbers are no square images"),
        ("pixels", "four", np.zeros((20, 64), dtype=np.float32), "pixels:four: 'four' is no whole number above 0"),
        ("centroids", "20", np.zeros((20, 64), dtype=np.float32), "give at most 19"),
        ("words", "0", CAKES, "words:0: '0' is no whole number above 0; write for example words:4"),
        ("lsa", "500", CAKES, "give at most lsa:11"),
        ("words", "9", (Text("?"), Text("!")), "there is no word"),
        ("words", "9", np.zeros((20, 64), dtype=np.float32), "words:9 reads texts and the task's rows are vectors"),
        ("pixels", "4", CAKES, "pixels:4 reads vectors and the task's rows are texts"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(kind: str, argument: str, inputs: Inputs, says: str) -> None:
    import re

    with pytest.raises(UserError, match=re.escape(says)):
        featuriser(kind, argument, of(inputs))
