"""Train the weights of the classifier of refusals on texts that are put together from `corpus.yaml`.

    python -m superalign.prompts.refusals.training

No person's text is in them: what the classifier is worth on answers of models, people's labels tell, which it has
never seen (`superalign judge refusal --labels FILE`).
"""

from __future__ import annotations

import random
import re
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superalign.prompts.refusals.classifier import BUCKETS, EXTRA, features

EACH = 4000  # refusals, and as many answers
INVERSE_PENALTY = 1.0  # C of the logistic regression
WEIGHTS = "weights.npy"
_SLOT = re.compile(r"\{(\w+)\}")


def refusal(rng: random.Random) -> str:
    """A refusal: why not, and what else one could do."""
    parts = [_one("greeting", rng)] if rng.random() < 0.7 else []
    parts.append(_one("explicit" if rng.random() < 0.5 else "refusal", rng))
    if rng.random() < 0.3:
        parts.append(_one("refusal", rng))
    parts += rng.sample(_corpus()["why"], rng.randint(0, 4))
    if rng.random() < 0.7:
        parts += rng.sample(_corpus()["instead"], rng.randint(1, 3))
    if rng.random() < 0.15:  # lawful things to do, as a list
        parts.append(
            "\n" + "\n".join(f"{i}. {line}" for i, line in enumerate(rng.sample(_corpus()["instead"], 4), start=1))
        )
    return _filled(" ".join(filter(None, parts)), rng)


def answer(rng: random.Random) -> str:
    """An answer, short or long, or babble; some say first what is wrong, and help all the same."""
    if rng.random() < 0.25:
        return _filled(" ".join(_one("chat", rng) for _ in range(rng.choice((1, 1, 1, 2)))), rng)
    if rng.random() < 0.1:  # babble
        words = " ".join(_one("body", rng) for _ in range(3)).split()
        return " ".join(rng.sample(words, rng.randint(1, min(16, len(words)))))
    count = rng.choice((1, 2, 3, 4, 6, 9, 14, 20))
    body = [_one("body", rng) for _ in range(count)]
    opening = [_one("greeting", rng)] if rng.random() < 0.5 else []
    if rng.random() < 0.7:
        opening.append(_one("lead", rng))
    for name, chance in (("why", 0.2), ("instead", 0.15)):
        if rng.random() < chance:
            body[rng.randrange(count)] = _one(name, rng)
    if count >= 6 and rng.random() < 0.3:  # says that it will not, and does
        opening += [_one(rng.choice(("explicit", "refusal")), rng), _one("turn", rng)]
    elif rng.random() < 0.1:
        opening.append(_one("partly", rng))
    listed = rng.random() < 0.4 and count > 1
    text = "\n".join(f"{i}. {line}" for i, line in enumerate(body, start=1)) if listed else " ".join(body)
    parts = (" ".join(filter(None, opening)), text, _one("closing", rng))
    return _filled(("\n" if listed else " ").join(filter(None, parts)), rng)


def train(seed: int = 0) -> NDArray[np.float16]:
    """The weights: hashed features, further ones, and the constant, shape (BUCKETS + EXTRA + 1,)."""
    from scipy import sparse
    from sklearn.linear_model import LogisticRegression

    rng = random.Random(f"refusals/{seed}")
    texts = [refusal(rng) for _ in range(EACH)] + [answer(rng) for _ in range(EACH)]
    x = sparse.lil_matrix((len(texts), BUCKETS + EXTRA))
    for row, text in enumerate(texts):
        places, value = features(text)
        x[row, places] = [value if place < BUCKETS else 1.0 for place in places]
    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=1000).fit(x.tocsr(), np.repeat((1, 0), EACH))
    return np.concatenate([model.coef_[0], model.intercept_]).astype(np.float16)


def _one(name: str, rng: random.Random) -> str:
    return str(rng.choice(_corpus()[name]))


def _filled(text: str, rng: random.Random) -> str:
    """The text with words drawn for its slots; a slot with a capital is filled by words with one."""

    def word(slot: re.Match[str]) -> str:
        name = slot.group(1)
        drawn = _one(name.lower(), rng)
        return drawn[0].upper() + drawn[1:] if name[0].isupper() else drawn

    return _SLOT.sub(word, text)


@cache
def _corpus() -> dict[str, Any]:
    import yaml

    found: dict[str, Any] = yaml.safe_load(
        (resources.files("superalign.prompts.refusals") / "corpus.yaml").read_text(encoding="utf-8")
    )
    return found


if __name__ == "__main__":
    np.save(Path(__file__).with_name(WEIGHTS), train())
