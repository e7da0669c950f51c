"""What is known to fail of a model on a task, before anything is trained."""

from __future__ import annotations

from superalign.weak_to_strong.base import Task
from superalign.weak_to_strong.models.backbones import check_layer, check_memory
from superalign.weak_to_strong.models.features import layered
from superalign.weak_to_strong.models.policy import model_of, texts_of
from superalign.weak_to_strong.models.registry import make_student


def check_model(spec: str, task: Task) -> None:
    """Refuse a model that cannot learn the task.

    Raises:
        UserError: it is unknown, does not read the task's rows, or does not fit into memory.
    """
    kind, _, argument = spec.partition(":")
    if task.kind == "generate":
        model_of(spec, f"task={task.name}")
    elif kind == "probe" and argument:  # its features take long: a worker makes them, not the check
        texts_of(task.rows.inputs, spec)
        model, layer = layered(argument)
        check_layer(spec, model, layer)
        check_memory(spec, model, trained=False)
    else:
        make_student(spec, task.rows, len(task.classes), task.kind, seed=0)
