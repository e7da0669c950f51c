"""Reading a run from Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from superalign.errors import UserError
from superalign.prompts import multi_turn
from superalign.prompts.library import respond
from superalign.records import Preference, Query
from superalign.stats.estimate import Estimate
from superalign.store.folder import RunFolder
from superalign.store.results import Run
from superalign.store.tables import write_records
from tests.store import parts as writer

DIALOGUE = multi_turn.carry(["how?", "like this", "and then?"])


def preference(name: str, query: str) -> Preference:
    good, bad = (({"role": "assistant", "content": text},) for text in ("good", "bad"))
    return Preference(name, "q", "a", "b", tuple(respond(query)), good, bad, (1,), (2,), (2,), 0.9, 0.5, "critic")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Two rounds; the second has preferences, of which one answers a dialogue."""
    with writer.opened(tmp_path, name="tried", seed=3) as opened:
        for number in range(2):
            folder = opened.begin_round(number)
            write_records(folder, "queries", Query, writer.queries(number))
            if number:
                rows = [preference("p", "why?"), preference("d", DIALOGUE)]
                write_records(folder, "preferences", Preference, rows)
                (folder / "adapters" / "learner").mkdir(parents=True)
                (folder / "adapters" / "learner" / "adapter_config.json").write_text("{}")
            metrics = {"helpfulness": writer.rate(0.5), "unknown": {"value": None, "low": None, "high": None, "n": 0}}
            opened.commit_round(number, {"metrics": metrics, "counts": {"queries": 5}})
    return Run(tmp_path / "tried")


def test_a_run_tells_its_name_settings_and_rounds(run: Run) -> None:
    assert (run.name, run.settings["seed"]) == ("tried", 3)
    assert [one.number for one in run.rounds] == [0, 1]
    assert run.rounds[1].counts == {"queries": 5}
    assert run.rounds[1].metrics == {"helpfulness": Estimate(0.5, 0.4, 0.6, 40)}
    assert run.summary is None


def test_a_run_is_found_by_its_name(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs").mkdir()
    run.path.rename(tmp_path / "runs" / "tried")
    monkeypatch.chdir(tmp_path)
    assert Run("tried").settings["seed"] == 3


def test_preferences_are_conversations(run: Run) -> None:
    found = run.preferences()
    assert found.column_names == ["prompt", "chosen", "rejected", "q", "w", "source", "id", "round"]
    assert found[0] == {
        "prompt": [{"role": "user", "content": "why?"}],
        "chosen": [{"role": "assistant", "content": "good"}],
        "rejected": [{"role": "assistant", "content": "bad"}],
        "q": 0.9,
        "w": 0.5,
        "source": "critic",
        "id": "p",
        "round": 1,
    }


def test_a_dialogue_has_several_turns_in_its_prompt(run: Run) -> None:
    assert run.preferences(round=1)[1]["prompt"] == [
        {"role": "user", "content": "how?"},
        {"role": "assistant", "content": "like this"},
        {"role": "user", "content": "and then?"},
    ]


def test_a_round_without_preferences_has_the_columns_all_the_same(run: Run) -> None:
    empty = run.preferences(round=0)
    assert len(empty) == 0
    assert empty.features == run.preferences().features


def test_the_tables_of_a_round_are_data_sets(run: Run) -> None:
    assert run.rounds[1].queries()["text"][:2] == ["text 0", "text 1"]
    for name in ("responses", "critiques", "judgements", "labels"):
        table = getattr(run.rounds[1], name)()
        assert len(table) == 0 and "id" in table.column_names


def test_an_adapter_is_a_folder_and_one_that_is_not_there_is_told(run: Run) -> None:
    assert run.adapter() == run.path / "rounds/0001/adapters/learner"
    with pytest.raises(UserError, match=r"no adapter of 'lerner'; did you mean learner\? \(there is: learner\)"):
        run.adapter("lerner")
    with pytest.raises(UserError, match=r"round 0 of .* has no adapter of 'learner'"):
        run.adapter("learner", round=0)


@pytest.mark.parametrize("read", [lambda run: run.adapter(round=7), lambda run: run.preferences(round=7)])
def test_a_round_that_is_not_done_is_told(read: object, run: Run) -> None:
    with pytest.raises(UserError, match="has no round 7: the last is 1"):
        read(run)  # type: ignore[operator]


def test_a_run_without_a_round_has_no_preferences_and_no_adapter(tmp_path: Path) -> None:
    with writer.opened(tmp_path, name="young"):
        pass
    young = Run(tmp_path / "young")
    assert (len(young.preferences()), young.rounds) == (0, [])
    with pytest.raises(UserError, match="has committed no round yet"):
        young.adapter()


def test_what_is_no_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no run folder"):
        Run(tmp_path)
    assert not RunFolder(tmp_path).rounds()
