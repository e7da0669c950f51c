"""Representations made without labels: what a linear head reads of images and texts."""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from superalign.errors import UserError
from superalign.weak_to_strong.base import Inputs, Rows, Text

Features = NDArray[np.float32]
Featuriser = Callable[[Inputs], Features]

TERMS = 50_000  # words and pairs of words that LSA knows at most
READING = 2  # of what is read from a model: part of the name of filed features
PROBE_BATCH = 32


@dataclass(frozen=True)
class _Seen:
    """Inputs of a task, equal where their digests are."""

    digest: str
    inputs: Inputs = field(compare=False)


def featuriser(kind: str, argument: str, rows: Rows, cache: Path | None = None) -> Featuriser:
    """What turns inputs into features [n, d]; made from all of the task's rows, of pairs from both sides.

    Featurisers of the same rows are made once per process; those of a language model are kept in files under `cache`.

    Args:
        kind: vectors, pixels, centroids, words, lsa or probe.
        argument: what follows the colon of a student's spec.
        rows: the rows of the task; they have no labels.
        cache: a folder, or None to keep no files.

    Raises:
        UserError: the argument is no such number or model, or does not fit the rows.
    """
    inputs: Inputs = rows.inputs
    if rows.seconds is not None and isinstance(rows.inputs, np.ndarray):
        inputs = np.concatenate([rows.inputs, np.asarray(rows.seconds)])
    elif rows.seconds is not None:
        inputs = (*rows.inputs, *rows.seconds)
    seen = _Seen(rows.digest(), inputs)
    return _probe(argument, seen, cache) if kind == "probe" else _unsupervised(kind, argument, seen)


@lru_cache(maxsize=16)
def _unsupervised(kind: str, argument: str, seen: _Seen) -> Featuriser:
    spec = f"{kind}:{argument}"
    if kind in ("words", "lsa"):
        texts = _texts(spec, seen.inputs)
        return Once((_words if kind == "words" else _lsa)(spec, _number(spec), texts), texts)
    vectors = _vectors(spec, seen.inputs)
    if kind == "pixels":
        return _pixels(spec, _number(spec), vectors)
    if kind == "centroids":
        return _centroids(spec, _number(spec), vectors)
    return partial(_vectors, spec)


def _pixels(spec: str, side: int, images: Features) -> Featuriser:
    """Square images averaged down to side x side, every pixel standardised over all images."""
    width = math.isqrt(images.shape[1])
    if width * width != images.shape[1] or width % side:
        raise UserError(
            f"{spec}: vectors of {images.shape[1]} numbers are no square images that {side} x {side} tiles fit into"
        )

    def pool(inputs: Inputs) -> Features:
        tiles = _vectors(spec, inputs).reshape(-1, side, width // side, side, width // side)
        return np.asarray(tiles.mean((2, 4)).reshape(-1, side * side), dtype=np.float32)

    scale = _standardised(pool(images))
    return lambda inputs: scale(pool(inputs))


def _centroids(spec: str, count: int, vectors: Features) -> Featuriser:
    """exp(-d^2 / 2 s^2) for the distance d to each k-means centroid; s is the mean distance to the nearest one."""
    from sklearn.cluster import KMeans

    if count >= len(vectors):
        raise UserError(f"{spec}: {len(vectors)} rows have no {count} clusters; give at most {len(vectors) - 1}")
    means = KMeans(count, n_init=1, random_state=0).fit(vectors)
    width = float(means.transform(vectors).min(1).mean()) or 1.0

    def respond(inputs: Inputs) -> Features:
        distances = means.transform(_vectors(spec, inputs))
        return np.asarray(np.exp(-(distances**2) / (2 * width**2)), dtype=np.float32)

    return respond


def _words(spec: str, count: int, texts: Sequence[Text]) -> Featuriser:
    """log(1 + occurrences) of the most frequent words."""
    from sklearn.feature_extraction.text import CountVectorizer

    made = CountVectorizer(max_features=count)
    try:
        made.fit(_joined(texts))
    except ValueError as error:  # of an empty vocabulary
        raise UserError(f"{spec}: there is no word in the task's texts; use probe:MODEL") from error
    return lambda inputs: np.log1p(made.transform(_joined(_texts(spec, inputs))).toarray()).astype(np.float32)


def _lsa(spec: str, count: int, texts: Sequence[Text]) -> Featuriser:
    """Latent semantic analysis: TF-IDF of words and pairs of words, its first singular directions.

    All directions are scaled by one number, to mean square 1: the strong ones stay the large ones.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    weigh = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=TERMS)
    try:
        weighed = weigh.fit_transform(_joined(texts))
    except ValueError as error:  # of an empty vocabulary
        raise UserError(f"{spec}: there is no word in the task's texts; use probe:MODEL") from error
    most = min(weighed.shape) - 1
    if count > most:
        raise UserError(f"{spec}: the task's texts have at most {most} directions; give at most lsa:{most}")
    turn = TruncatedSVD(count, random_state=0).fit(weighed)
    scale = 1 / math.sqrt(float((turn.transform(weighed) ** 2).mean()))
    return lambda inputs: (turn.transform(weigh.transform(_joined(_texts(spec, inputs)))) * scale).astype(np.float32)


@lru_cache(maxsize=16)
def _probe(argument: str, seen: _Seen, cache: Path | None) -> Featuriser:
    """Hidden states of a frozen language model, standardised over all rows (arXiv 2312.09390 D.2).

    Causal: the last token's state beside the mean over tokens and, of the last layer, the log-likelihood of the
    response; encoders: the mean.
    """
    from superalign.weak_to_strong.models.backbones import check_layer, identity

    spec = f"probe:{argument}"
    model, layer = layered(argument)
    check_layer(spec, model, layer)
    texts = _texts(spec, seen.inputs)

    def read(inputs: Inputs) -> Features:
        read_texts = _texts(spec, inputs)
        name = hashlib.sha256(repr((READING, identity(model), layer, read_texts)).encode()).hexdigest()[:24]
        return _filed(cache and cache / "features" / f"{name}.npy", lambda: _hidden(spec, model, layer, read_texts))

    every = Once(read, texts)
    scale = _standardised(every(seen.inputs))
    return lambda inputs: scale(every(inputs))


def layered(argument: str) -> tuple[str, int]:
    """Model and layer of `MODEL[@LAYER]`; the last layer where none is named."""
    model, at, layer = argument.rpartition("@")
    if at and layer.lstrip("-").isdigit():
        return model, int(layer)
    return argument, -1


def _hidden(spec: str, model: str, layer: int, texts: Sequence[Text]) -> Features:
    import torch

    from superalign.weak_to_strong.models import backbones
    from superalign.weak_to_strong.models.tokenization import last_token, log_likelihood, mean_token

    backbones.check_memory(spec, model, trained=False)
    loaded = backbones.load(model)
    rows = backbones.tokens(model, texts)
    order = np.argsort(rows.lengths, kind="stable")
    found: list[Features] = []
    with torch.no_grad():
        for start in range(0, len(order), PROBE_BATCH):
            batch = rows.batch(order[start : start + PROBE_BATCH])
            states = loaded.states(batch, layer)
            pooled = mean_token(states, batch.mask)
            if loaded.causal:
                pooled = torch.cat([last_token(states, batch.mask), pooled], dim=1)
            if loaded.unembedding is not None and layer == -1:
                pooled = torch.cat([pooled, log_likelihood(states, loaded.unembedding, batch)], dim=1)
            found.append(pooled.float().cpu().numpy())
    features = np.concatenate(found)
    back = np.empty_like(features)
    back[order] = features
    return back


def _filed(path: Path | None, make: Callable[[], Features]) -> Features:
    """The array in the file; made, and renamed into place, where there is none that can be read."""
    if path is None:
        return make()
    try:
        found: Features = np.load(path, allow_pickle=False)
        return found
    except (OSError, ValueError, EOFError):
        made = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            np.save(file, made)
        os.replace(scratch, path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise
    return made


class Once:
    """Features of texts, computed for all of a task's texts at first and then looked up; others as they come.

    What a model makes of a text depends, in its last bits, on the texts that it is padded with: others are read by
    themselves, so that nothing depends on what was read before.

    Args:
        read: makes the features of texts that differ from each other.
        texts: of the task.
    """

    def __init__(self, read: Featuriser, texts: Sequence[Text]) -> None:
        self._read = read
        self._texts = tuple(dict.fromkeys(texts))
        self._where: dict[Text, int] = {}
        self._features: Features | None = None
        self._others: dict[tuple[Text, ...], Features] = {}

    def __call__(self, inputs: Inputs) -> Features:
        """Features of texts, [n, d]."""
        if self._features is None:
            self._features = self._read(self._texts)
            self._where = {text: position for position, text in enumerate(self._texts)}
        texts = _texts("features", inputs)
        other = tuple(dict.fromkeys(text for text in texts if text not in self._where))
        if not other:
            return self._features[[self._where[text] for text in texts]]
        if other not in self._others:
            self._others[other] = self._read(other)
        where = self._where | {text: len(self._features) + position for position, text in enumerate(other)}
        return np.concatenate([self._features, self._others[other]])[[where[text] for text in texts]]


def _standardised(features: Features) -> Callable[[Features], Features]:
    """Subtracts the mean and divides by the standard deviation of these features; constants become 0."""
    mean, deviation = features.mean(0), features.std(0)
    inverse = np.where(deviation > 1e-6, 1 / np.maximum(deviation, 1e-6), 0)
    return lambda values: np.asarray((values - mean) * inverse, dtype=np.float32)


def _number(spec: str) -> int:
    kind, _, argument = spec.partition(":")
    if not argument.isdigit() or int(argument) < 1:
        raise UserError(f"{spec}: {argument!r} is no whole number above 0; write for example {kind}:4")
    return int(argument)


def _vectors(spec: str, inputs: Inputs) -> Features:
    if not isinstance(inputs, np.ndarray):
        raise UserError(f"{spec} reads vectors and the task's rows are texts; use words:60, lsa:100 or probe:MODEL")
    return inputs


def _texts(spec: str, inputs: Inputs) -> tuple[Text, ...]:
    if isinstance(inputs, np.ndarray):
        raise UserError(f"{spec} reads texts and the task's rows are vectors; use pixels:4 or centroids:300")
    return inputs


def _joined(texts: Sequence[Text]) -> list[str]:
    return [f"{text.prompt} {text.response}" for text in texts]
