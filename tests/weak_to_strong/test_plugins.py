"""Tasks and methods of one's own: a class in a file, named in the settings, runs like a built-in one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from superalign.commands.main import main
from superalign.config.schema import Config
from superalign.errors import UserError
from superalign.weak_to_strong.methods.registry import make_method, methods_for
from superalign.weak_to_strong.plan import studies
from superalign.weak_to_strong.tasks.registry import load_task, make_task

TASK = '''
from superalign.weak_to_strong.base import Text
from superalign.weak_to_strong.tasks.examples import Draft, Example
from superalign.weak_to_strong.tasks.texts import TextTask


class Sentiment(TextTask):
    """Is the review positive?"""

    name = "sentiment"
    fields = ("review", "label")

    def embedded(self, n, seed):
        texts = [f"{('a dull', 'a fine')[i % 2]} film, number {i}" for i in range(n)]
        return Draft(("negative", "positive"), [Example(t, Text(t), i % 2) for i, t in enumerate(texts)])

    def read(self, rows, seed):
        texts = [(row.text("review"), row.label({"0", "negative"}, {"1", "positive"})) for row in rows]
        return Draft(("negative", "positive"), [Example(t, Text(t), label) for t, label in texts])
'''
METHOD = '''
from dataclasses import replace

from superalign.config.sections import Section
from superalign.weak_to_strong.methods.registry import Method, Trained


class Softened(Method):
    """Finetuning on labels that are mixed with uniform ones."""

    class Settings(Section):
        share: float = 0.5

    def __init__(self, settings):
        self.share = settings.share

    def train(self, context, labels, specs):
        p = labels.probabilities
        softer = replace(labels, probabilities=(1 - self.share) * p + self.share / p.shape[1])
        student, history = context.train(specs[1], context.experiment.half2, softer)
        return Trained(context.predict(student), history, student)
'''
MODELS = ("weak=words:3", "strong=words:20")
README = Path(__file__).parents[2] / "superalign" / "weak_to_strong" / "README.md"


@pytest.fixture
def task(tmp_path: Path) -> str:
    (tmp_path / "tasks.py").write_text(TASK)
    return f"{tmp_path / 'tasks.py'}:Sentiment"


@pytest.fixture
def method(tmp_path: Path) -> str:
    (tmp_path / "methods.py").write_text(METHOD)
    return f"{tmp_path / 'methods.py'}:Softened"


def train(root: Path, name: str, *given: str) -> list[dict[str, Any]]:
    """The results of a small study."""
    small = ("data.limit=160", "w2s.seeds=1", "w2s.bootstrap=50", f"run.root={root}", f"run.name={name}")
    where = () if any(word.startswith("cluster=") for word in given) else ("cluster=inline", "cluster.threads=1")
    assert main(["train", "recipe=weak_to_strong", *small, *where, *given]) == 0
    results: list[dict[str, Any]] = json.loads((root / name / "summary.json").read_text())["results"]
    return results


def student_p(run: Path, method: str) -> list[float]:
    rows = pq.read_table(run / "rounds" / "0000" / "scores.parquet").to_pylist()
    return [row["student_p"] for row in rows if row["method"] == method]


def test_a_task_and_a_method_in_files_run_beside_the_built_in_ones(tmp_path: Path, task: str, method: str) -> None:
    results = train(tmp_path, "own", f"task={task}", f"method=naive,{method}", *MODELS)
    assert [(cell["task"], cell["method"]) for cell in results] == [("sentiment", "naive"), ("sentiment", "Softened")]
    naive, softened = (student_p(tmp_path / "own", name) for name in ("naive", "Softened"))
    assert len(naive) == len(softened) == results[0]["weak_to_strong"]["n"]
    assert max(softened) - min(softened) < max(naive) - min(naive)


def test_they_run_in_processes_of_their_own_with_the_same_scores(tmp_path: Path, task: str, method: str) -> None:
    given = (f"task={task}", f"method={method}", *MODELS)
    here = train(tmp_path, "here", *given)
    there = train(tmp_path, "there", *given, "cluster=laptop", "cluster.threads=1", f"w2s.cache={tmp_path / 'cache'}")
    assert student_p(tmp_path / "here", "Softened") == student_p(tmp_path / "there", "Softened")
    assert here[0]["pgr"] == there[0]["pgr"]


def test_a_method_has_its_own_settings(tmp_path: Path, task: str, method: str) -> None:
    given = (f"task={task}", f"method={method}", *MODELS)
    train(tmp_path, "half", *given)
    train(tmp_path, "most", *given, "plugin.Softened.share=0.9")
    half, most = (student_p(tmp_path / name, "Softened") for name in ("half", "most"))
    assert max(most) - min(most) < max(half) - min(half)


def test_an_unknown_setting_of_a_method_is_one_line(
    tmp_path: Path, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["task=digits", f"method={method}", "plugin.Softened.shre=0.9", f"run.root={tmp_path}"]
    assert main(["train", "recipe=weak_to_strong", *given]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "plugin.Softened.shre" in line


def test_a_task_of_ones_own_reads_files_with_columns_of_their_own(tmp_path: Path, task: str) -> None:
    rows = [{"words": f"review {i}", "label": ("negative", "positive")[i % 2]} for i in range(60)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    loaded = load_task(task, str(tmp_path / "rows.jsonl"), {"review": "words"})
    assert loaded.name == "sentiment" and loaded.labels.tolist() == [0, 1] * 30
    with pytest.raises(UserError, match=r"unknown key data\.columns\.reviw; did you mean review\?"):
        load_task(task, str(tmp_path / "rows.jsonl"), {"reviw": "words"})


def test_a_task_without_rows_of_its_own_asks_for_a_file(tmp_path: Path) -> None:
    (tmp_path / "bare.py").write_text(TASK.split("    def embedded")[0])
    with pytest.raises(UserError, match="task=sentiment has no rows of its own: give data=FILE"):
        load_task(f"{tmp_path / 'bare.py'}:Sentiment")
    (tmp_path / "rows.jsonl").write_text('{"review": "a", "label": 1}\n')
    with pytest.raises(UserError, match=r"task=sentiment has its own rows: leave data\.source out"):
        load_task(f"{tmp_path / 'bare.py'}:Sentiment", str(tmp_path / "rows.jsonl"))


def test_an_object_may_stand_for_its_class(tmp_path: Path, task: str) -> None:
    (tmp_path / "tasks.py").write_text(TASK + "\n\nREVIEWS = Sentiment()\n")
    assert make_task(f"{tmp_path / 'tasks.py'}:REVIEWS").name == "sentiment"


@pytest.mark.parametrize(
    ("code", "lacking"),
    [
        ("class Empty: pass", "it lacks labels, kinds, policies, train(context, labels, specs)"),
        (METHOD.replace("context, labels, specs", "context, labels"), "(it has train(self, context, labels))"),
        (METHOD.replace("def train", "def tran"), "it lacks train(context, labels, specs)"),
    ],
)
def test_what_is_no_method_is_told_with_what_it_lacks(tmp_path: Path, code: str, lacking: str) -> None:
    (tmp_path / "wrong.py").write_text(code)
    with pytest.raises(UserError) as refused:
        make_method(f"{tmp_path / 'wrong.py'}:{'Empty' if 'Empty' in code else 'Softened'}")
    assert "is no method" in str(refused.value) and lacking in str(refused.value)


def test_two_methods_of_one_name_are_refused(tmp_path: Path, method: str) -> None:
    (tmp_path / "others.py").write_text(METHOD)
    with pytest.raises(UserError, match="Softened"):
        studies(Config.model_validate({"task": "digits", "method": [method, f"{tmp_path / 'others.py'}:Softened"]}))


def test_a_method_of_ones_own_is_run_on_the_kinds_of_task_that_it_is_for(method: str) -> None:
    config = Config.model_validate({"task": "digits", "method": ["naive", method]})
    assert list(methods_for(config, "classify")) == ["naive", "Softened"]
    assert list(methods_for(config, "generate")) == ["naive"]


def test_the_examples_of_the_readme_run_as_they_stand_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, code in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", README.read_text(), re.DOTALL):
        Path(name).write_text(code)
    rows = [
        {"review": f"{('a dull', 'a fine')[i % 2]} film {i}", "label": ("negative", "positive")[i % 2]}
        for i in range(160)
    ]
    Path("reviews.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (of_task,) = re.findall(r"recipe=weak_to_strong (task=sentiment\.py\S+ data=\S+)", README.read_text())
    (of_method,) = re.findall(r"recipe=weak_to_strong (task=\S+ method=naive,certain\.py\S+)", README.read_text())
    (cell,) = train(tmp_path, "task", *of_task.split(), "method=naive", *MODELS)
    assert cell["task"] == "sentiment"
    cells = train(tmp_path, "method", *of_method.split(), "weak=pixels:2", "strong=centroids:20")
    assert [each["method"] for each in cells] == ["naive", "Certain"] and cells[1]["labels"] == "calibrate+filter:0.25"
