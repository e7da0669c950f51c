"""A run's adapter, merged model or data as a folder that others can load, with its card, and on the hub."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

from superalign.config.compose import restore
from superalign.errors import UserError
from superalign.models import load_base, load_tokenizer
from superalign.models.licences import licence_of
from superalign.models.references import HUB
from superalign.records import ExpertLabel, Judgement, Query, Response, by_dimension
from superalign.report.masking import without_secrets
from superalign.report.model_card import data_card, model_card
from superalign.store.adapters import WEIGHTS
from superalign.store.folder import RunFolder
from superalign.store.results import Run
from superalign.store.tables import read_if_written

ADAPTER: Final = ("adapter_config.json", "adapter_model.safetensors")
CARD: Final = "README.md"


def write_model(run: RunFolder, number: int, role: str, folder: Path, dtype: str | None = None) -> None:
    """The adapter of a role after a round; with a dtype the base with the adapter merged into it.

    Raises:
        UserError: the round has no adapters, or the base cannot be loaded.
    """
    config = restore(run.located_config(), str(run.folder))
    model, adapter = config.model_of(role), run.round_path(number) / WEIGHTS / role
    if not adapter.is_dir():
        raise UserError(f"{run.folder} is a run of recipe={config.recipe}, and has no adapter of a {role}")
    if dtype is None:
        for name in ADAPTER:
            shutil.copyfile(adapter / name, folder / name)
    else:
        load_base(str(adapter), dtype).save_pretrained(folder)
    load_tokenizer(model).save_pretrained(folder)
    licence, terms = licence_of(model)
    facts = {
        "base": model.removeprefix(HUB),
        "of_hub": "yes" if model.startswith(HUB) else "",
        "role": role,
        "round": str(number),
        "what": "adapter" if dtype is None else "model",
        "dtype": dtype or "float32",
        "licence": licence,
        "terms": terms,
    }
    _with_card(run, folder, model_card(run.name, _until(run, number), run.config(), run.summary() or {}, facts))


def write_data(run: RunFolder, number: int, folder: Path) -> None:
    """The preferences and labels of all rounds up to this one, with the round of each, in parquet.

    Raises:
        UserError: there are none.
    """
    from datasets import Dataset, concatenate_datasets

    rounds = [each for each in run.rounds() if each <= number]
    tables = {
        "preferences": concatenate_datasets([one.preferences() for one in Run(run.folder).rounds[: len(rounds)]]),
        "labels": Dataset.from_list(_labels(run, rounds)),
    }
    counts = {name: len(rows) for name, rows in tables.items() if len(rows)}
    for name in counts:
        (folder / "data").mkdir(exist_ok=True)
        tables[name].to_parquet(folder / "data" / f"{name}.parquet")
    if not counts:
        raise UserError(f"{run.folder} has neither preferences nor labels up to round {number}")
    _with_card(run, folder, data_card(run.name, _until(run, number), run.config(), run.summary() or {}, counts))


def send(folder: Path, name: str, kind: Literal["model", "dataset"], public: bool = False) -> str:
    """Put a folder into a repository of the hub, which is made if it is not there; its address.

    The token is the hub's own business (`hf auth login`, or HF_TOKEN).

    Raises:
        UserError: the hub cannot be reached, or refuses.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        api.create_repo(name, repo_type=kind, private=not public, exist_ok=True)
        return str(api.upload_folder(repo_id=name, repo_type=kind, folder_path=folder))
    except Exception as error:  # of the hub, or of its HTTP library, which is another in each of its versions
        raise UserError(f"--to=hub:{name}: {' '.join(str(error).split())[:300]}") from error


def _labels(run: RunFolder, rounds: Sequence[int]) -> list[dict[str, Any]]:
    """What experts said, beside the texts that they said it of; a label counts with the round in which it came."""
    asked, answers, shown, found = dict[str, Any](), dict[str, Any](), dict[str, Any](), list[dict[str, Any]]()
    for each in rounds:
        folder = run.round_path(each)
        asked |= {query.id: query for query in read_if_written(folder, "queries", Query)}
        answers |= {response.id: response for response in read_if_written(folder, "responses", Response)}
        shown |= {item.id: item for item in read_if_written(folder, "judgements", Judgement)}
        for label in read_if_written(folder, "labels", ExpertLabel):
            if (item := shown.get(label.item_id)) is None or item.query_id not in asked:
                continue  # of a file of curated labels, which is not the run's own
            first, second = answers.get(item.first_id), answers.get(item.second_id)
            texts = {"query": asked[item.query_id].text, "first": first.text if first else ""}
            told = {"value": label.value, "dimensions": json.dumps(by_dimension(label.dimensions))}
            by = {"annotator": label.annotator, "lane": label.lane, "simulated": label.simulated, "round": each}
            found.append({"kind": label.kind, **texts, "second": second.text if second else "", **told, **by})
    return found


def _until(run: RunFolder, number: int) -> list[dict[str, Any]]:
    return [row for row in run.rows() if row["round"] <= number]


def _with_card(run: RunFolder, folder: Path, card: str) -> None:
    """The card, and beside it the settings and the figures."""
    import yaml

    (folder / CARD).write_text(card, encoding="utf-8")
    settings = yaml.safe_dump(without_secrets(run.config()), sort_keys=False, allow_unicode=True)
    (folder / "config.yaml").write_text(settings, encoding="utf-8")
    if summary := run.summary():
        told = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
        (folder / "summary.json").write_text(told, encoding="utf-8")
