"""Hub datasets whose columns are known: their rows as the rows that a task's file would have.

Most are of the NLP list of arXiv 2312.09390 (A.1): a question with k answers becomes one with its right answer and
its k - 1 wrong ones, of which the task draws one; all that is asked about one passage is one group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from superalign.errors import UserError

RawRow = Mapping[str, Any]  # values by column, of a hub dataset or of a task's file
TOXIC_FROM: Final = 0.5  # of a toxicity score
NLI: Final = ("entailment", "neutral", "contradiction")


@dataclass(frozen=True)
class Preset:
    """How rows of one hub dataset become rows of a task's file; a row without a label becomes None."""

    task: str
    adapt: Callable[[RawRow], RawRow | None]

    def rows(self, where: str, row: RawRow) -> list[RawRow]:
        """The rows of the task's file: one, or none where the row has no label.

        Raises:
            UserError: the columns are not those that the dataset is known to have.
        """
        try:
            made = self.adapt(row)
        except (KeyError, IndexError, TypeError, ValueError):
            raise UserError(
                f"{where}: the dataset has other columns than this version knows; "
                f"set data.columns.FIELD= to some of {', '.join(map(str, row))}"
            ) from None
        return [] if made is None else [made]


def _choice(question: str, options: Sequence[str], right: int) -> RawRow | None:
    if not 0 <= right < len(options):
        return None
    wrong = [option for position, option in enumerate(options) if position != right]
    return {"question": question, "answer": options[right], "distractor": wrong}


def _keyed(question: str, choices: Mapping[str, Sequence[str]], key: str) -> RawRow | None:
    return _choice(question, choices["text"], list(choices["label"]).index(key)) if key else None


def _binary(text: str, label: int, response: str = "") -> RawRow | None:
    """A text with its label; the hub's -1 means that there is none."""
    if label not in (0, 1):
        return None
    return {"text": text, "label": int(label)} | ({"response": response} if response else {})


def _about(passage: str, row: RawRow | None) -> RawRow | None:
    """The row in one group with all others about the passage, so that no split parts them."""
    return None if row is None else {**row, "group": passage}


def _boolq(row: RawRow, label: int) -> RawRow | None:
    return _about(row["passage"], _binary(f"{row['passage']}\n{row['question']}?", label))


def _hellaswag(row: RawRow) -> RawRow | None:
    return _choice(row["ctx"], row["endings"], int(row["label"])) if row["label"] != "" else None


def _social_i_qa(row: RawRow) -> RawRow | None:
    options = [row["answerA"], row["answerB"], row["answerC"]]
    made = _choice(f"{row['context']} {row['question']}", options, int(row["label"]) - 1)
    return _about(row["context"], made)


def _cosmos_qa(row: RawRow) -> RawRow | None:
    options = [row[f"answer{i}"] for i in range(4)]
    return _about(row["context"], _choice(f"{row['context']} {row['question']}", options, int(row["label"])))


def _dream(row: RawRow) -> RawRow | None:
    question = "\n".join([*row["dialogue"], row["question"]])
    made = _choice(question, row["choice"], list(row["choice"]).index(row["answer"]))
    return _about("\n".join(row["dialogue"]), made)


def _quail(row: RawRow) -> RawRow | None:
    made = _choice(f"{row['context']} {row['question']}", row["answers"], int(row["correct_answer_id"]))
    return _about(row["context"], made)


def _quartz(row: RawRow) -> RawRow | None:
    return _about(row["para"], _keyed(f"{row['para']} {row['question']}", row["choices"], row["answerKey"]))


def _multirc(row: RawRow) -> RawRow | None:
    made = _binary(f"{row['paragraph']} {row['question']}", row["label"], row["answer"])
    return _about(row["paragraph"], made)


def _mc_taco(row: RawRow) -> RawRow | None:
    made = _binary(f"{row['sentence']} {row['question']}", row["label"], row["answer"])
    return _about(row["sentence"], made)


def _wic(row: RawRow) -> RawRow | None:
    return _binary(f"{row['word']}: {row['sentence1']}", row["label"], row["sentence2"])


def _anli(row: RawRow) -> RawRow | None:
    if row["label"] < 0:
        return None
    return {"premise": row["premise"], "hypothesis": row["hypothesis"], "label": NLI[row["label"]]}


def _hh(row: RawRow) -> RawRow | None:
    """Transcripts that part at the assistant's last turn; None where they part before it."""
    turn = "\n\nAssistant:"
    (before, _, chosen), (same, _, rejected) = row["chosen"].rpartition(turn), row["rejected"].rpartition(turn)
    if before != same or not (chosen.strip() and rejected.strip()):
        return None
    return {"prompt": before.strip().removeprefix("Human:").strip(), "chosen": chosen, "rejected": rejected}


def _real_toxicity(row: RawRow) -> RawRow | None:
    score = row["continuation"]["toxicity"]
    if score is None:
        return None
    return {"text": row["prompt"]["text"] + row["continuation"]["text"], "label": int(score >= TOXIC_FROM)}


_OPENBOOK = Preset("qa", lambda r: _keyed(r["question_stem"], r["choices"], r["answerKey"]))
_SENTENCE = Preset("qa", lambda r: _binary(r["sentence"], r["label"]))
_SCENARIO = Preset("qa", lambda r: _binary(r["scenario"], r["label"]))

PRESETS: Final[dict[str, Preset]] = {
    "allenai/sciq": Preset(
        "qa", lambda r: _choice(r["question"], [r["correct_answer"], *(r[f"distractor{i}"] for i in (1, 2, 3))], 0)
    ),
    "google/boolq": Preset("qa", lambda r: _boolq(r, int(r["answer"]))),
    "Rowan/hellaswag": Preset("qa", _hellaswag),
    "allenai/openbookqa": _OPENBOOK,
    "allenai/openbookqa/main": _OPENBOOK,
    "allenai/openbookqa/additional": _OPENBOOK,
    "ybisk/piqa": Preset("qa", lambda r: _choice(r["goal"], [r["sol1"], r["sol2"]], r["label"])),
    "allenai/social_i_qa": Preset("qa", _social_i_qa),
    "allenai/cosmos_qa": Preset("qa", _cosmos_qa),
    "dataset-org/dream": Preset("qa", _dream),
    "textmachinelab/quail": Preset("qa", _quail),
    "allenai/quartz": Preset("qa", _quartz),
    "google-research-datasets/paws/labeled_final": Preset(
        "qa", lambda r: _binary(r["sentence1"], r["label"], r["sentence2"])
    ),
    "nyu-mll/glue/cola": _SENTENCE,
    "nyu-mll/glue/sst2": _SENTENCE,
    "stanfordnlp/sst2": _SENTENCE,
    "aps/super_glue/boolq": Preset("qa", lambda r: _boolq(r, r["label"])),
    "aps/super_glue/wic": Preset("qa", _wic),
    "aps/super_glue/multirc": Preset("qa", _multirc),
    "CogComp/mc_taco": Preset("qa", _mc_taco),
    "hendrycks/ethics/commonsense": Preset("qa", lambda r: _binary(r["input"], r["label"])),
    "hendrycks/ethics/justice": _SCENARIO,
    "hendrycks/ethics/virtue": _SCENARIO,
    "hendrycks/ethics/deontology": Preset("qa", lambda r: _binary(r["scenario"], r["label"], r["excuse"])),
    "hendrycks/ethics/utilitarianism": Preset(
        "pairs",
        lambda r: _about(  # all have the same prompt
            r["baseline"],
            {"prompt": "Which is more pleasant?", "chosen": r["baseline"], "rejected": r["less_pleasant"]},
        ),
    ),
    "fancyzhx/amazon_polarity": Preset("qa", lambda r: _binary(f"{r['title']}\n{r['content']}", r["label"])),
    "facebook/anli": Preset("nli", _anli),
    "Anthropic/hh-rlhf": Preset("pairs", _hh),
    "PKU-Alignment/BeaverTails": Preset(
        "safety", lambda r: {"prompt": r["prompt"], "response": r["response"], "label": int(not r["is_safe"])}
    ),
    "google/civil_comments": Preset(
        "toxicity", lambda r: {"text": r["text"], "label": int(r["toxicity"] >= TOXIC_FROM)}
    ),
    "allenai/real-toxicity-prompts": Preset("continuation", _real_toxicity),
    "nguha/legalbench/privacy_policy_qa": Preset(
        "policy", lambda r: {"question": r["question"], "text": r["text"], "label": r["answer"]}
    ),
    "coastalcph/lex_glue/ledgar": Preset("clauses", lambda r: {"text": r["text"], "label": r["label"]}),
}
