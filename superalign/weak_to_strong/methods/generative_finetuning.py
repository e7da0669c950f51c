"""Generative finetuning before reward modelling: the responses are read before the preferences (2312.09390, 5.2.2)."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from superalign.models import load_base, load_tokenizer
from superalign.records import content_id
from superalign.weak_to_strong.base import Rows
from superalign.weak_to_strong.models.policy import POLICY, Policy, model_of, texts_of
from superalign.weak_to_strong.split_context import SplitContext


def adapted_spec(context: SplitContext, spec: str) -> str:
    """The spec of a strong model after language modelling on both responses of every pair of half 2.

    The finetuned model lies in the cache as a folder that transformers loads.
    """
    model = model_of(spec, "method=generative")
    folder = context.cache.folder / "adapted" / content_id(sorted(context.policy_key(spec).items()))
    if not folder.is_dir():
        rows = context.experiment.half2
        firsts, seconds = (texts_of(side, "method=generative") for side in (rows.inputs, rows.seconds))
        twice = Rows(tuple(f"{i}/{side}" for side in (1, 2) for i in rows.ids), rows.groups * 2, (*firsts, *seconds))
        policy = Policy(model, context.config, context.seed)
        policy.imitate(twice, [t.response for t in (*firsts, *seconds)], np.ones(len(twice)))
        _save_merged(policy, model, folder)
    return f"{spec.partition(':')[0]}:{folder}"


def _save_merged(policy: Policy, model: str, folder: Path) -> None:
    """The base with the adapter merged in; renamed into place whole."""
    from peft import PeftModel

    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        policy.trainer.save(scratch / "adapters")
        merged = PeftModel.from_pretrained(load_base(model), str(scratch / "adapters" / POLICY)).merge_and_unload()
        merged.save_pretrained(scratch / "model")
        load_tokenizer(model).save_pretrained(scratch / "model")
        if not folder.exists():  # another process may have been faster
            os.rename(scratch / "model", folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
