"""A run with sets of real text keeps what figures are made of, and tells the paired change at its end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from superalign.commands.main import main
from superalign.loop.pins import find_pins
from superalign.loop.real_text import TABLE
from superalign.planning.counting import Counter
from superalign.planning.run_plan import Calls, Verdicts
from superalign.records import Measured
from superalign.store.results import Run
from superalign.store.tables import read_records
from tests.evaluation.real_text.parts import labels, requests, settings, write
from tests.smallest import SMALL


@pytest.fixture(autouse=True)
def _no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)


def sets(folder: Path) -> list[str]:
    """Overrides."""
    texts = write(folder, "t.jsonl", [{"prompt": f"how do i {i}?", "response": "first get a lamp"} for i in range(4)])
    return [
        f"evaluation.requests.people={requests(folder)}",
        "evaluation.requests_per_set=4",
        f"evaluation.texts.own={texts}",
        f"evaluation.labels={labels(folder)}",
        "evaluation.judge=refusal",
    ]


@pytest.mark.parametrize("recipe", ["selfplay", "self_refine"])
def test_the_last_round_is_compared_with_round_0_item_by_item(tmp_path: Path, recipe: str) -> None:
    small = [*SMALL, "model=testbed-small", "cluster=inline", "rounds=1", "run.name=run", f"run.root={tmp_path}"]
    given = [f"recipe={recipe}", "learner=dpo", "refine.queries=4", *small, *sets(tmp_path)]
    assert main(["train", *given]) == 3  # the smaller model's pairs teach nothing
    tables = [read_records(tmp_path / "run" / "rounds" / f"{n:04d}", TABLE, Measured) for n in (0, 1)]
    assert [[(each.figure, each.item) for each in table] for table in tables] == [
        [(each.figure, each.item) for each in tables[0]]
    ] * 2
    assert len(tables[0]) == 4 + 4 + 4
    assert Run(tmp_path / "run").rounds[1].measured()["value"] == [each.value for each in tables[1]]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    metrics = summary["metrics"]
    assert metrics["perplexity_own_ratio"]["last"]["value"] == 1.0, "nothing was learned"
    assert metrics["compliance_people_harmful_change"]["last"]["n"] == 4
    assert summary["compliance_check"]["of"] == "compliance"
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert "compliance_people_harmful_change" not in rows[0]["metrics"]


def test_eval_measures_sets_and_suites_and_writes_them(tmp_path: Path) -> None:
    (tmp_path / "suites.py").write_text(
        "from superalign.stats.estimate import Estimate\n\n\n"
        "class Fixed:\n"
        "    name = 'fixed'\n\n"
        "    def run(self, examined):\n"
        "        return {'share': Estimate(0.25, 0.0, 1.0, 4)}\n"
    )
    output = tmp_path / "figures.json"
    small = [word for word in SMALL if word.startswith(("evaluation.", "data."))]
    asked = [*small, *sets(tmp_path), f"evaluation.suites={tmp_path / 'suites.py'}:Fixed", "--output", str(output)]
    assert main(["eval", "testbed-small", *asked]) == 0
    told = json.loads(output.read_text())
    found = {each["name"]: each["value"] for each in told["figures"]}
    assert found["fixed_share"] == 0.25
    assert {"compliance_people_harmful", "compliance_people_benign", "perplexity_own", "helpfulness"} <= found.keys()
    assert told["judge"]["compliance"]["state"] == "checked"
    assert told["settings"]["evaluation"]["requests"] == {"people": str(tmp_path / "people.jsonl")}


def test_the_files_of_all_sets_are_pinned(tmp_path: Path) -> None:
    path = requests(tmp_path)
    config = settings(requests={"people": path, "hubs": "hub:nobody/nothing"}, choices={"a": path}, texts={"b": path})
    found = find_pins(config)
    names = {f"evaluation.requests.people={path}", f"evaluation.choices.a={path}", f"evaluation.texts.b={path}"}
    assert names <= found.keys() and all(found[name].fingerprint for name in names)


def test_what_they_ask_is_counted_by_the_plan(tmp_path: Path) -> None:
    path = requests(tmp_path)
    given = {"requests": {"people": path}, "choices": {"a": path}, "texts": {"b": path}, "judge": "frozen_critic"}
    config = settings(**given, requests_per_set=10, choices_per_set=5, texts_per_set=3)
    calls, judged, scored = Counter(config).real_text()
    assert calls == Calls("evaluate", "learner", 20, config.learner.max_new_tokens)
    assert judged == Verdicts("evaluate", 20) and scored == Verdicts("evaluate", 5 * 4 + 3)
    assert Counter(settings()).real_text() == []
