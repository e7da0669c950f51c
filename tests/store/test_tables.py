"""Records as parquet."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from superalign.errors import UserError
from superalign.records import Critique, ExpertLabel, Judgement, Preference, Query, Record, Response
from superalign.store.tables import read_records, write_records

TURNS = tuple({"role": role, "content": role[0]} for role in ("user", "assistant", "user"))
EXAMPLES: list[Record] = [
    Query("q", "s", 'Zoë "asks"\n\u2028', "harmful", "cyber", "fiction", "attacker", 3, 0.25),
    Response("r", "q", "text", (1, 2), (3, 4, 5), (-0.1, -0.25, -1e-9), "sample", 7),
    Critique("c", "r", "words", ("a", "b"), 0, 1),
    Judgement("j", "pair", "q", "r", "r2", "cyber", -1.5, 0.2, 0.01, False, True, 2),
    ExpertLabel("l", "j", "point", "ann", 0.5, 0.3, "uniform", 2, True),
    Preference("p", "q", "r", "r2", TURNS[:3], TURNS[:1], TURNS[1:2], (1,), (), (2, 3), 0.9, 0.64, "expert"),
]


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: type(record).__name__)
@pytest.mark.parametrize("count", [0, 3])
def test_records_read_back_equal(tmp_path: Path, record: Record, count: int) -> None:
    write_records(tmp_path, "table", type(record), [record] * count)
    assert read_records(tmp_path, "table", type(record)) == [record] * count


def test_plain_datasets_loads_the_preferences_of_all_rounds_without_superalign(tmp_path: Path) -> None:
    for number, found in enumerate(([], EXAMPLES[-1:])):  # round 0 has none
        (tmp_path / f"{number:04d}").mkdir()
        write_records(tmp_path / f"{number:04d}", "preferences", Preference, found)  # type: ignore[type-var]
    code = (
        "import sys, datasets\n"
        f"paths, cache = {str(tmp_path / '*' / 'preferences.parquet')!r}, {str(tmp_path)!r}\n"
        "rows = datasets.load_dataset('parquet', data_files=paths, split='train', cache_dir=cache)\n"
        "assert len(rows) == 1\n"
        "assert rows[0]['rejected_ids'] == [2, 3] and rows[0]['chosen_ids'] == [] and rows[0]['q'] == 0.9\n"
        "assert [turn['content'] for turn in rows[0]['prompt']] == ['u', 'a', 'u']\n"
        "assert 'superalign' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_a_missing_or_broken_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"queries\.parquet is missing"):
        read_records(tmp_path, "queries", Query)
    (tmp_path / "queries.parquet").write_text("not parquet at all")
    with pytest.raises(UserError, match="is no readable parquet file"):
        read_records(tmp_path, "queries", Query)


def test_a_table_of_another_record_type_is_refused(tmp_path: Path) -> None:
    write_records(tmp_path, "table", Critique, [])
    with pytest.raises(UserError, match="a Query has"):
        read_records(tmp_path, "table", Query)
    with pytest.raises(TypeError, match="record 0 of table is a Critique"):
        write_records(tmp_path, "table", Query, [EXAMPLES[2]])  # type: ignore[list-item]
