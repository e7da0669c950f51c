"""The suite of benchmarks judges rightly, and the paper plan computes what one computes by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ablations
import measure
import plan
import pytest
import suite
from measure import Figure

MEASURED = Figure("pace", "a ratio", 1.00, 0.98, 1.02, 5, most=1.05)


def run(path: Path, figure: Figure, update: bool = False) -> int:
    """The suite with one benchmark that measures this."""
    return suite.run(["pace"], False, update, {"pace": lambda quick: [figure]}, path)


@pytest.mark.parametrize(
    ("figure", "code"),
    [
        (MEASURED, 0),
        (replace(MEASURED, value=1.0501), 1),
        (replace(MEASURED, most=None), 0),
        (replace(MEASURED, most=None, least=1.3), 1),
        (replace(MEASURED, most=None, least=1.0), 0),
    ],
)
def test_a_missed_target_is_exit_code_1_however_wide_the_interval(tmp_path: Path, figure: Figure, code: int) -> None:
    assert run(tmp_path / "none.json", figure) == code


def test_a_benchmark_that_breaks_fails_the_suite_and_the_others_are_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(quick: bool) -> list[Figure]:
        raise RuntimeError("out of order")

    ways: dict[str, Callable[[bool], list[Figure]]] = {"broken": broken, "pace": lambda quick: [MEASURED]}
    assert suite.run(["broken", "pace"], False, False, ways, tmp_path / "none.json") == 1
    said = capsys.readouterr()
    assert "out of order" in said.err and "pace: 1 [0.98, 1.02], n=5" in said.out
    assert said.out.rstrip().endswith("missed: broken did not run")


def test_a_value_outside_the_baselines_interval_by_more_than_its_tolerance_has_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "baselines.json"
    assert run(path, MEASURED, update=True) == 0
    assert "no baseline" in capsys.readouterr().out
    kept = json.loads(path.read_text())["pace"]
    assert kept["value"] == 1.0 and kept["machine"] == measure.Machine.here().kind and kept["commit"] and kept["date"]
    for value, said in ((1.02 * 1.1 - 0.001, "as before"), (1.02 * 1.1 + 0.001, "changed"), (0.87, "changed")):
        run(path, replace(MEASURED, value=value, most=None))
        assert f"{said}: 1 [0.98, 1.02]" in capsys.readouterr().out
    path.write_text(json.dumps({"pace": {**kept, "machine": "another one"}}))
    run(path, replace(MEASURED, value=9.0, most=None))
    assert "the baseline 1 is of another machine" in capsys.readouterr().out


def test_every_benchmark_of_the_suite_is_there_and_every_other_name_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for module in suite.MODULES.values():
        assert "def figures(" in (Path(suite.__file__).parent / f"{module}.py").read_text()
    for wrong in (["speed"], ["--quick", "--update"]):
        with pytest.raises(SystemExit, match="2"):
            suite.main(wrong)
    assert "no benchmark speed" in capsys.readouterr().err


def test_an_interval_over_seeds_ends_where_the_figure_does() -> None:
    assert ablations.told([0.0, 0.1, 0.05]) == "5.0 [0, 17.4]"
    assert ablations.told([1.0, 0.9, 0.95]) == "95.0 [82.6, 100]"
    assert ablations.told([0.0, 0.1, 0.05], differences=True) == "5.0 [-7.4, 17.4]"
    assert ablations.told([1.0, 1.0], differences=True) == "100 [100, 100]"
    assert measure.over_seeds([90.0, 100.0], high=100.0)[1:] == (pytest.approx(95 - 12.7062 * 5, abs=0.1), 100.0)


def test_intervals_are_students_and_ratios_are_averaged_geometrically() -> None:
    found = measure.of_values("x", "", [1.0, 2.0, 3.0])
    assert found.value == 2.0 and found.high == pytest.approx(2 + 4.302653 / 3**0.5)  # t of 2 degrees at 97.5 %
    assert measure.of_ratios("x", "", [0.5, 2.0]).value == pytest.approx(1.0)


def test_growth_is_told_for_ten_rounds_and_not_moved_by_a_single_late_one() -> None:
    assert measure.growth("x", "", [5.0] * 20).value == 1.0
    late = [1 + 0.01 * n for n in range(21)]
    late[3] = 9.0
    assert measure.growth("x", "", late).value == pytest.approx(1 + 0.1 / late[11], rel=0.02)


def test_shapes_have_the_parameters_that_their_makers_count() -> None:
    assert plan.QWEN_7B.parameters == 7_615_616_512
    assert plan.LLAMA_70B.parameters == 70_553_706_496
    # Rank 16: in + out of q, k, v, o and the three of the MLP.
    assert plan.QWEN_7B.adapter(16) == 28 * 16 * (2 * 7168 + 2 * 4096 + 3 * 22528)
    assert plan.LLAMA_70B.adapter(16) == 80 * 16 * (2 * 16384 + 2 * 9216 + 3 * 36864)


def test_memory_of_an_engine_and_of_a_learner_is_as_by_hand() -> None:
    assert plan.QWEN_7B.cache_bytes == 2 * 28 * 4 * 128 * 2
    # (72e9 - 15.231e9) / (1024 x 57,344) = 966.8; 70B on four: (288e9 - 141.107e9) / (1024 x 327,680) = 437.8
    assert plan.most_sequences(plan.QWEN_7B, 1024) == 966
    assert plan.most_sequences(plan.LLAMA_70B, 1024) == 437
    # Base 1.904, two layers .932, three adapters 1.938, activations 1024 x 3584 x 34 x 28 = 3.494, logits 1.246 GB.
    assert plan.learner_memory(plan.QWEN_7B, 8) == pytest.approx(9.514e9, rel=1e-3)
    assert plan.engine_memory(plan.QWEN_7B, 64) == pytest.approx(15.231e9 + 64 * 1024 * 57344, rel=1e-3)


def test_a_decoding_step_is_bound_by_reading_the_weights_and_from_about_300_short_sequences_on_by_computing() -> None:
    took, bound = plan.step_seconds(plan.QWEN_7B, 1, 0)
    assert bound == "memory bandwidth" and took * plan.REACHED / plan.LORA_SLOWDOWN == pytest.approx(4.547e-3, rel=1e-3)
    assert [plan.step_seconds(plan.QWEN_7B, batch, 0)[1] for batch in (295, 296)] == ["memory bandwidth", "compute"]


def test_training_goes_by_needed_flops_and_more_gpus_than_completions_idle() -> None:
    # .217 x 989e12 / (8 x 7.6156e9) = 3,522.6 tokens/s
    assert plan.trained_tokens_per_second(plan.QWEN_7B, 1, 0.217) == pytest.approx(3522.6, rel=1e-3)
    most = plan.trained_tokens_per_second(plan.LLAMA_70B, 256, 0.217)
    assert plan.trained_tokens_per_second(plan.LLAMA_70B, 512, 0.217) == most
    assert plan.sync_seconds(8.25e9) == 1.0


def test_a_plan_uses_all_gpus_and_there_is_none_where_the_model_does_not_fit() -> None:
    found = plan.best(plan.LLAMA_70B, 8)
    assert found == plan.Round(plan.LLAMA_70B, learners=4, engines=1)
    assert found.seconds(0.2) == pytest.approx(found.generating + found.training(0.2) + found.syncing)
    assert plan.best(plan.LLAMA_70B, 4) is None
