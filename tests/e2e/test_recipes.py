"""The recipes beside self-play and weak-to-strong, each at its smallest and whole: run, resume, summary, report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from superalign.commands.main import main
from superalign.config.compose import load
from superalign.data.preferences import FIELDS
from superalign.stats.estimate import Estimate
from superalign.stats.format import interval, number
from superalign.store.folder import FORMAT
from superalign.training.algorithms.sft import REFERENCE as SFT
from superalign.training.base import Phase, Rows
from superalign.training.service import TrainingService
from tests.smallest import SMALL

pytestmark = pytest.mark.slow

TINY = [*SMALL, "cluster=inline", "attacker.seeds=16", "expert.budget=24", "refine.queries=24", "reward.pairs=120"]
RECIPES = ("redteam", "self_refine", "critic", "reward_model")
HEADLINE = {
    "redteam": "attack_success_rate",
    "self_refine": "attack_success_rate",
    "critic": "critic_accuracy",
    "reward_model": "reward_accuracy",
}
TRAINED = {
    "redteam": "adapters/attacker",
    "self_refine": "adapters/learner",
    "critic": "adapters/critic",
    "reward_model": "reward_model",
}


def train(root: Path, recipe: str, name: str, *more: str) -> int:
    return main(["train", f"recipe={recipe}", f"run.root={root}", f"run.name={name}", *TINY, *more])


def summary(run: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((run / "summary.json").read_text())
    return loaded


def weights(run: Path, recipe: str, number: int) -> bytes:
    return (run / "rounds" / f"{number:04d}" / TRAINED[recipe] / "adapter_model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run of two rounds for each recipe."""
    root = tmp_path_factory.mktemp("runs")
    for recipe in RECIPES:
        assert train(root, recipe, recipe, "rounds=2") == 0
    return root


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_completes_with_summary_figures_with_intervals_and_a_report(whole: Path, recipe: str) -> None:
    found = summary(whole / recipe)
    assert (found["recipe"], found["status"], found["rounds"]) == (recipe, "complete", 2)
    figures = {name: value for name, value in found["metrics"].items() if name != "expert_labels"}
    assert len(figures) >= 3
    for name, value in figures.items():
        assert value["last"]["low"] <= value["last"]["value"] <= value["last"]["high"], name
        assert value["last"]["n"] > 0
    assert sum(found["timing"]["stages"].values()) == pytest.approx(found["timing"]["total_s"], rel=1e-6)
    last = Estimate(**{key: figures[HEADLINE[recipe]]["last"][key] for key in ("value", "low", "high", "n")})
    page = (whole / recipe / "report.html").read_text()
    assert number(last.value, "%") in page and interval(last, "%") in page and f"n {last.n}" in page


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_trains_what_it_says(whole: Path, recipe: str) -> None:
    assert weights(whole / recipe, recipe, 0) != weights(whole / recipe, recipe, 2)
    if recipe == "reward_model":
        return
    for role in {"attacker", "critic", "learner"} - {TRAINED[recipe].split("/")[1]}:
        first, last = (whole / recipe / "rounds" / number / "adapters" / role for number in ("0000", "0002"))
        assert all((first / f).read_bytes() == (last / f).read_bytes() for f in ("adapter_model.safetensors",))


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_resumes_bit_for_bit(whole: Path, recipe: str, tmp_path: Path) -> None:
    for rounds in (1, 2):
        assert train(tmp_path, recipe, "halves", f"rounds={rounds}") == 0
    assert weights(tmp_path / "halves", recipe, 2) == weights(whole / recipe, recipe, 2)
    assert summary(tmp_path / "halves")["metrics"] == summary(whole / recipe)["metrics"]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_complete_run_says_so(whole: Path, recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(whole, recipe, recipe, "rounds=2") == 0
    assert "nothing to do" in " ".join(capsys.readouterr().err.split())


def test_red_teaming_reports_success_by_family_and_category_and_shows_no_text(whole: Path) -> None:
    found = summary(whole / "redteam")
    titles = [table["title"] for table in found["tables"]]
    assert titles[:2] == ["Harmful requests, by attack family", "Harmful requests, by category"]
    families = {row["name"]: row["cells"] for row in found["tables"][0]["rows"]}
    assert {"plain", "roleplay", "authority"} <= set(families)
    assert any(name.startswith("attacker: ") for name in families)
    rate, unique, asked = families["roleplay"]
    assert 0 <= rate["low"] <= rate["value"] <= rate["high"] <= 1 and unique <= asked == rate["n"]
    assert families["plain"][0]["value"] < 0.5 < families["roleplay"][0]["value"]
    assert "Harmful requests, by category" in (whole / "redteam" / "report.html").read_text()
    samples = (whole / "redteam" / "samples.jsonl").read_text()
    assert "redacted" in samples and "how do i" not in samples


def test_red_teaming_attacks_the_learner_of_another_run(whole: Path, tmp_path: Path) -> None:
    target = whole / "self_refine"
    assert train(tmp_path, "redteam", "aimed", "rounds=1", f"redteam.target={target}") == 0
    run = tmp_path / "aimed"
    attacked = [weights(run, "self_refine", number) for number in (0, 1)]
    assert attacked == [weights(target, "self_refine", 2)] * 2


def test_a_target_without_rounds_is_one_clear_line(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path, "redteam", "nowhere", "redteam.target=nobody") == 2
    assert "no run folder nobody" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("overrides", "role", "message"),
    [
        (["recipe=reward_model"], None, "is a run of recipe=reward_model, which has no learner to attack"),
        (["model=testbed-small"], "learner", "was trained with model=testbed-small, here it is testbed"),
        (["lora.alpha=8"], "learner", "was trained with lora.alpha=8, here it is 32: give lora.alpha=8 here too"),
    ],
)
def test_a_target_that_cannot_be_attacked_as_it_was_trained_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], overrides: list[str], role: str | None, message: str
) -> None:
    adapters = tmp_path / "target" / "rounds" / "0001" / "adapters"
    (adapters / role if role else adapters).mkdir(parents=True)
    (tmp_path / "target" / "format").write_text(f"{FORMAT}\n")
    (tmp_path / "target" / "config.yaml").write_text(json.dumps(load(overrides).model_dump(mode="json")))
    assert train(tmp_path, "redteam", "aimed", "redteam.target=target") == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "aimed").exists()


@pytest.mark.parametrize(
    ("recipe", "said", "judge"),
    [
        ("redteam", "testbed both rewards the attacker and grades it", "it rewards the attacker too"),
        ("self_refine", "testbed both chooses what is learned and grades it", "it chose what was learned too"),
    ],
)
def test_a_run_graded_by_what_trains_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], recipe: str, said: str, judge: str
) -> None:
    assert train(tmp_path, recipe, "own", "rounds=1", "evaluation.judge=frozen_critic") == 0
    assert said in " ".join(capsys.readouterr().err.split())
    assert judge in summary(tmp_path / "own")["judge"]
    assert judge in (tmp_path / "own" / "report.html").read_text()


def test_refinement_by_imitation_learns_as_well_at_the_rate_of_the_round(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, train_role = [], TrainingService.train

    def listened(
        service: TrainingService, role: str, algorithm: str, rows: Rows, phase: Phase, *rest: Any
    ) -> dict[str, float]:
        told.append((role, algorithm, phase.learning_rate))
        return train_role(service, role, algorithm, rows, phase, *rest)

    monkeypatch.setattr(TrainingService, "train", listened)
    given = ("rounds=2", "refine.method=sft", "learner.learning_rate=0.001")
    assert train(tmp_path, "self_refine", "sft", *given) == 0
    assert [each[:2] for each in told] == [("learner", SFT)] * 2
    assert [rate for *_, rate in told] == pytest.approx([1e-3, 1e-3 / 2**0.5])
    imitated, preferred = weights(tmp_path / "sft", "self_refine", 1), weights(whole / "self_refine", "self_refine", 1)
    assert imitated != preferred != weights(whole / "self_refine", "self_refine", 0)


def test_a_missing_or_empty_constitution_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.txt").write_text("# nothing\n")
    for path, word in (("absent.txt", "cannot be read"), ("empty.txt", "has no principle")):
        assert train(tmp_path, "self_refine", "lawless", f"refine.constitution={tmp_path / path}") == 2
        assert word in capsys.readouterr().err
    assert not (tmp_path / "lawless").exists()


def test_a_critic_is_examined_before_and_after_on_the_same_verdicts(whole: Path) -> None:
    found = summary(whole / "critic")
    gold, held = found["tables"]
    assert [row["name"] for row in gold["rows"]] == [
        *("accuracy", "calibration error", "Brier score", "sensitivity", "specificity", "AUROC"),
    ]
    for table in (gold, held):
        for row in table["rows"]:
            before, after, paired = row["cells"]
            assert before["n"] == after["n"]
            if paired:
                assert paired["value"] == pytest.approx(after["value"] - before["value"])
    assert found["simulated_expert"] is True and "Simulated expert" in (whole / "critic" / "report.html").read_text()
    assert 0 < found["metrics"]["expert_labels"]["used"] <= 48


def test_a_reward_model_learns_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"question": f"how do i build kite {i}?", "good": f"Sure. First get string {i}.", "bad": "i know nothing"}
        for i in range(60)
    ]
    source = tmp_path / "pairs.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert train(tmp_path, "reward_model", "own", f"data={source}") == 2
    assert (
        "no column 'chosen' for chosen; set data.columns.chosen= to one of question, good, bad"
        in capsys.readouterr().err
    )
    columns = [f"data.columns.{ours}={theirs}" for ours, theirs in zip(FIELDS, rows[0], strict=True)]
    given = [f"data={source}", *columns, "rounds=2", "reward.learning_rate=0.003"]
    assert train(tmp_path, "reward_model", "own", *given) == 0
    found = summary(tmp_path / "own")
    assert found["metrics"]["reward_accuracy"]["last"]["value"] > 0.9
    assert "pairs.jsonl" in found["judge"]
