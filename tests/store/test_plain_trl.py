"""The preferences of a run train in plain TRL, in a process that does not have superalign."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from superalign.models import TESTBED, load_chat
from superalign.prompts import multi_turn
from superalign.prompts.library import respond
from superalign.records import Preference, Query, Response
from superalign.store.tables import write_records
from superalign.training.batch import preference

ASKED = ("how do i build a kite for my aunt?", multi_turn.carry(["how do i sell a guitar?", "Sure.", "and a drum?"]))

# TRL renders prompt and answer by the template of the model; `prompt_ids` in the file are what superalign generated
# from. The trainer writes its own columns of that name.
TRAIN = """
import json, sys
import datasets
from trl import DPOConfig, DPOTrainer
files, model, out = sys.argv[1:]
rows = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=out)
config = DPOConfig(output_dir=out, max_steps=1, per_device_train_batch_size=2, use_cpu=True, bf16=False, report_to=[])
trainer = DPOTrainer(model, args=config, train_dataset=rows)
loss = trainer.train().training_loss
assert "superalign" not in sys.modules
names = ("prompt_ids", "chosen_ids", "rejected_ids")
print(json.dumps([loss, *([{n: row[n] for n in names} for row in found] for found in (rows, trainer.train_dataset))]))
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Preferences as the rounds of a run hold them; round 0 has none."""
    chat = load_chat("testbed")

    def said(query: Query, text: str) -> Response:
        prompt, ids = chat.prompt_ids(respond(query.text)), chat.closed(chat.encode(text))
        return Response(text, query.id, text, tuple(prompt), tuple(ids), (0.0,) * len(ids), "sample", 0)

    queries = [Query(text, "s", text, "benign", "c", "plain", "seed", 1) for text in ASKED]
    made = [preference(q, said(q, "Sure. First get wax."), said(q, "No."), 0.9, 0.8, "critic") for q in queries]
    rounds = tmp_path_factory.mktemp("rounds")
    for number, found in enumerate(([], made)):
        (rounds / f"{number:04d}").mkdir()
        write_records(rounds / f"{number:04d}", "preferences", Preference, found)
    return rounds / "*" / "preferences.parquet"


def test_dpo_trains_on_the_very_tokens_that_were_generated(files: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", TRAIN, str(files), str(TESTBED), str(tmp_path)]
    done = subprocess.run(command, check=True, cwd=tmp_path, capture_output=True, text=True)
    loss, written, rendered = json.loads(done.stdout.splitlines()[-1])
    assert loss == pytest.approx(0.6931, abs=1e-3)  # ln 2: at first the policy is the reference
    assert rendered == written


@pytest.mark.slow
def test_the_command_of_trl_takes_them_as_they_are(files: Path, tmp_path: Path) -> None:
    settings = tmp_path / "dpo.yaml"
    settings.write_text(
        f"datasets:\n- path: parquet\n  data_files: {files}\nmodel_name_or_path: {TESTBED}\noutput_dir: {tmp_path}\n"
        "max_steps: 1\nper_device_train_batch_size: 2\nuse_cpu: true\nbf16: false\nreport_to: none\n"
    )
    command = [str(Path(sys.executable).with_name("trl")), "dpo", "--config", str(settings)]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "model.safetensors").is_file()
