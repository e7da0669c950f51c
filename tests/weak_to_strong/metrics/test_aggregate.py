"""From rows scored on every split to the figures of a run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superalign.weak_to_strong.metrics import aggregate
from superalign.weak_to_strong.metrics.scorer import Columns
from superalign.weak_to_strong.study import Study, StudyWorker, Trial
from tests.weak_to_strong.parts import STRONG, VIA, WEAK, settings

KEYS = {"task", "supervisor", "weak", "strong", "method", "labels", "oracle", "seeds", "seconds", "notes"}
FIGURES = {"weak_performance", "weak_to_strong", "strong_ceiling", "pgr", "pgr_fieller", "pgr_auroc", "gain"}
MEASURES = {"agreement", "ece", "confidence", "deception", "forecast", "saliency", "curve", "attacked", "grades"}
STUDY = {"task": "made", "supervisor": "weak", "weak": "words:1", "strong": "words:2"}


def columns(weak: float, student: float, ceiling: float, seed: int, part: str = "test", n: int = 150) -> Columns:
    """Rows where weak, student and ceiling are right as often as told."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n)
    made: dict[str, Any] = {
        "part": np.full(n, part, dtype=object),
        "id": np.array([f"{seed}/{i}" for i in range(n)], dtype=object),
        "cluster": np.array([f"{seed}/{i // 2}" for i in range(n)], dtype=object),
        "truth": truth,
    }
    for who, rate in (("weak", weak), ("student", student), ("ceiling", ceiling)):
        correct = rng.random(n) < rate
        said = np.where(correct, truth, 1 - truth)
        made |= {
            f"{who}_score": correct.astype(float),
            f"{who}_class": said,
            f"{who}_p": np.where(said, 0.8, 0.2) + rng.uniform(-0.1, 0.1, n),
        }
    return made


def trial(tables: list[Columns], method: str = "naive", **info: Any) -> Trial:
    told = {**STUDY, "method": method, "labels": "", "oracle": False, "seconds": 1.5, "notes": []}
    return Trial({**told, "curve": None, "forecast": None, **info}, tables)


def folders(root: Path, rates: tuple[float, float, float] = (0.7, 0.8, 0.95), splits: int = 3) -> list[Path]:
    made = []
    for seed in range(splits):
        (folder := root / str(seed)).mkdir()
        aggregate.save(folder, [trial([columns(*rates, seed)])])
        made.append(folder)
    return made


def cells(root: Path, *rates: float) -> list[dict[str, Any]]:
    return aggregate.cells(folders(root, *([rates] if rates else [])), seed=0, resamples=100)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two splits of a real study of two methods, saved."""
    root = tmp_path_factory.mktemp("real")
    worker = StudyWorker(settings(method=("naive", "oracle_stop"), data={"limit": 240}, via=VIA), str(root / "cache"))
    made = []
    for number in range(2):
        (folder := root / str(number)).mkdir()
        aggregate.save(folder, worker.run(Study("digits", "weak", WEAK, STRONG), number))
        made.append(folder)
    return made


def estimates(value: object) -> Iterator[Mapping[str, Any]]:
    """Everything within a result that has a value and an interval."""
    if isinstance(value, Mapping):
        if "low" in value:
            yield value
        else:
            for each in value.values():
                yield from estimates(each)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    first = trial([columns(0.7, 0.8, 0.9, 0), columns(0.6, 0.7, 0.8, 1, "attacked", 40)], notes=["a note"])
    second = trial([columns(0.7, 0.6, 0.9, 2)], "confidence", curve={"progress": [0.5, 1.0]}, oracle=True)
    aggregate.save(tmp_path, [first, second])
    loaded = list(aggregate.load(tmp_path))
    assert [info for info, _ in loaded] == [first.info, second.info]
    for given, (_, split) in zip((first, second), loaded, strict=True):
        assert list(split) == [table["part"][0] for table in given.columns]
        for table in given.columns:
            found = split[table["part"][0]]
            assert all((found[name] == table[name]).all() for name in table)


def test_the_files_are_plain_parquet_and_json(real: list[Path]) -> None:
    import pyarrow.parquet as pq

    frame = pq.read_table(real[0] / aggregate.SCORES).to_pandas()
    assert {"task", "method", "part", "id", "truth", "weak_score", "student_score", "ceiling_score"} <= set(frame)
    assert [info["method"] for info in json.loads((real[0] / aggregate.TRIALS).read_text())] == ["naive", "oracle_stop"]


def test_a_cell_has_every_documented_key_and_its_intervals_hold_their_values(real: list[Path]) -> None:
    found = aggregate.cells(real, seed=0, resamples=100)
    assert [cell["method"] for cell in found] == ["naive", "oracle_stop"]
    assert [cell["oracle"] for cell in found] == [False, True]
    for cell in found:
        assert set(cell) == KEYS | FIGURES | MEASURES
        assert (cell["task"], cell["seeds"]) == ("digits", 2)
        told = list(estimates(cell))
        assert len(told) >= 10
        for each in told:
            if each["value"] is not None:
                assert each["low"] <= each["value"] <= each["high"]
            assert each["n"] > 0
        assert json.loads(json.dumps(cell, allow_nan=False)) == cell


def test_figures_pool_the_rows_of_all_splits(tmp_path: Path) -> None:
    (cell,) = cells(tmp_path)
    tables = [columns(0.7, 0.8, 0.95, seed) for seed in range(3)]
    mean = {who: np.concatenate([t[f"{who}_score"] for t in tables]).mean() for who in ("weak", "student", "ceiling")}
    assert cell["weak_performance"]["value"] == pytest.approx(mean["weak"])
    assert cell["weak_to_strong"]["value"] == pytest.approx(mean["student"])
    assert cell["strong_ceiling"]["value"] == pytest.approx(mean["ceiling"])
    assert cell["gain"]["value"] == pytest.approx(mean["student"] - mean["weak"])
    assert cell["pgr"]["value"] == pytest.approx((mean["student"] - mean["weak"]) / (mean["ceiling"] - mean["weak"]))
    assert cell["pgr"]["n"] == 450 and cell["seconds"] == 4.5
    same = np.concatenate([t["student_class"] == t["weak_class"] for t in tables]).mean()
    assert cell["agreement"]["all"]["value"] == pytest.approx(same)


def test_without_a_gap_there_is_no_ratio_but_the_reason(tmp_path: Path) -> None:
    (cell,) = cells(tmp_path, 0.8, 0.8, 0.8)
    assert (cell["pgr"]["value"], cell["pgr"]["low"], cell["pgr"]["high"], cell["pgr_fieller"]) == (None,) * 4
    assert cell["pgr"]["reason"].startswith("no gap: PGR undefined (ceiling - weak = ")
    assert cell["weak_to_strong"]["value"] is not None


def test_a_strong_model_that_is_worse_is_said_to_be(tmp_path: Path) -> None:
    (cell,) = cells(tmp_path, 0.9, 0.8, 0.6)
    assert cell["pgr"]["value"] is None
    assert cell["pgr"]["reason"].startswith("the strong model is worse than the weak one: PGR undefined")


def test_an_oracle_on_one_split_is_an_oracle(tmp_path: Path) -> None:
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        aggregate.save(tmp_path / str(seed), [trial([columns(0.7, 0.8, 0.9, seed)], oracle=seed == 1)])
    (cell,) = aggregate.cells([tmp_path / "0", tmp_path / "1"], 0, 50)
    assert cell["oracle"] is True


def test_attacked_rows_and_further_grades_have_figures_of_their_own(tmp_path: Path) -> None:
    tables = [columns(0.7, 0.8, 0.95, 0), columns(0.4, 0.5, 0.9, 1, "attacked"), columns(0.5, 0.2, 0.1, 2, "harm")]
    aggregate.save(tmp_path, [trial(tables)])
    (cell,) = aggregate.cells([tmp_path], 0, 50)
    for found, table in ((cell["attacked"], tables[1]), (cell["grades"]["harm"], tables[2])):
        assert found["weak_to_strong"]["value"] == pytest.approx(table["student_score"].mean())
        assert found["strong_ceiling"]["value"] == pytest.approx(table["ceiling_score"].mean())
    assert cell["attacked"]["pgr"]["n"] == 150
    assert cell["grades"]["harm"]["weak"]["value"] == pytest.approx(tables[2]["weak_score"].mean())
    assert cell["pgr"]["n"] == 150  # the test rows alone


def test_completions_have_no_measures_of_classes(tmp_path: Path) -> None:
    table = columns(0.7, 0.8, 0.95, 0)
    for who in ("weak", "student", "ceiling"):
        table[f"{who}_class"], table[f"{who}_p"] = np.full(150, -1), np.full(150, np.nan)
    aggregate.save(tmp_path, [trial([table])])
    (cell,) = aggregate.cells([tmp_path], 0, 50)
    assert all(cell[name] is None for name in ("agreement", "ece", "confidence", "pgr_auroc"))
    assert cell["pgr"]["value"] is not None


def test_curves_and_forecasts_are_means_over_the_splits(tmp_path: Path) -> None:
    given = (0.2, 0.6)
    for seed, x in enumerate(given):
        (folder := tmp_path / str(seed)).mkdir()
        curve = {"progress": [0.5, 1.0], "accuracy": [x, 2 * x], "right": [x, x], "wrong": [] if seed else [x, x]}
        told = {"curve": curve, "forecast": {"misfit": x, "overlap_density": None if seed else x}}
        aggregate.save(folder, [trial([columns(0.7, 0.8, 0.9, seed)], **told, notes=[f"note {seed}"])])
    (cell,) = aggregate.cells([tmp_path / "0", tmp_path / "1"], 0, 50)
    assert cell["curve"]["accuracy"] == pytest.approx([0.4, 0.8]) and cell["curve"]["right"] == pytest.approx([0.4] * 2)
    assert cell["curve"]["wrong"] == []  # one split had no such rows
    assert cell["forecast"] == {"misfit": pytest.approx(0.4), "overlap_density": pytest.approx(0.2)}
    assert cell["saliency"] is None
    assert cell["notes"] == ["split 0: note 0", "split 1: note 1"]


def test_what_probes_read_is_pooled_over_the_splits_with_intervals(tmp_path: Path) -> None:
    for seed in range(3):
        (folder := tmp_path / str(seed)).mkdir()
        test, n = columns(0.7, 0.8, 0.9, seed), len(columns(0.7, 0.8, 0.9, seed)["truth"])
        hits = {"probe_before": (np.arange(n) % 2).astype(float), "probe_after": (np.arange(n) % 5 > 0).astype(float)}
        attacked = test | {"part": np.full(n, "attacked", dtype=object)}
        aggregate.save(folder, [trial([test], "frozen"), trial([test | hits, attacked], "tuned")])
    frozen, tuned = aggregate.cells([tmp_path / str(seed) for seed in range(3)], 0, 100)
    assert frozen["saliency"] is None
    found = tuned["saliency"]
    values = {name: found[name]["value"] for name in found}
    assert values == {"before": 0.5, "after": pytest.approx(0.8), "change": pytest.approx(0.3)}
    assert all(part["low"] < part["value"] < part["high"] and part["n"] == 3 * n for part in found.values())


def test_the_headline_is_the_first_cell_under_the_names_of_the_summary(tmp_path: Path) -> None:
    found = cells(tmp_path)
    told = aggregate.headline(found)
    assert list(told) == ["pgr", "weak", "strong_ceiling", "weak_to_strong"]
    assert told["weak"] is found[0]["weak_performance"]


def test_the_table_has_a_head_for_each_study_and_a_line_for_each_method(tmp_path: Path) -> None:
    (cell,) = cells(tmp_path)
    oracle = cell | {"method": "oracle_stop", "oracle": True}
    other = cell | {"supervisor": "random", "pgr": {**cell["pgr"], "value": None, "reason": "no gap: PGR undefined"}}
    lines = aggregate.table([cell, oracle, other])
    assert len(lines) == 7
    assert lines[0] == "made: words:1 -> words:2, 3 splits, n 450, % [95 %]"
    assert lines[1].startswith("  weak  ") and "ceiling" in lines[1]
    assert lines[2].startswith("  naive ") and "PGR" in lines[2]
    assert lines[3].startswith("  oracle_stop (oracle) ")
    assert lines[4].startswith("made: words:1, errors random -> words:2")
    assert lines[6].endswith("no gap: PGR undefined")
