"""Job specs: YAML files that say what a job runs and what it needs from the cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from superalign.config.keys import schema_keys, validation_line
from superalign.config.paths import home
from superalign.config.sections import PositiveFloat, Section
from superalign.config.sections.common import NonNegative
from superalign.errors import UserError, nearest


class DriverNeeds(Section):
    """What the driver reserves for itself. The roles' processes reserve their own: the driver needs no GPU."""

    cpus: PositiveFloat = 0.1
    gpus: NonNegative = 0
    memory_gb: PositiveFloat | None = None
    resources: dict[str, float] = Field(default_factory=dict)


class JobSpec(Section):
    """`overrides` are settings as on the command line, whose own come after them and win.

    `python` is the interpreter on the cluster (by default this one where the cluster is on this machine, else
    `python`). `env_vars` holds for the driver and all actors; `working_dir` is a folder that Ray copies to every node.
    """

    overrides: tuple[str, ...] = ()
    python: str | None = None
    env_vars: dict[str, str] = Field(default_factory=dict)
    working_dir: str | None = None
    driver: DriverNeeds = DriverNeeds()

    def runtime_env(self) -> dict[str, Any]:
        """As Ray takes it."""
        given = {"env_vars": self.env_vars, "working_dir": self.working_dir}
        return {key: value for key, value in given.items() if value}


def read(file: str) -> JobSpec:
    """A job spec from a file, or by name one of those that come with superalign.

    Raises:
        UserError: there is no such file, it is no YAML mapping, or holds what the schema does not know.
    """
    shipped = {path.stem: path for path in sorted((home() / "recipes" / "jobs").glob("*.yaml"))}
    path = Path(file) if Path(file).is_file() else shipped.get(file)
    if path is None:
        raise UserError(f"no job spec {file}{nearest(file, shipped)} (there is: {', '.join(shipped)}, or a file)")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise UserError(f"{path} is no job spec: it should have keys ({', '.join(schema_keys(JobSpec))})")
        return JobSpec.model_validate(values)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is no readable YAML ({str(error).splitlines()[0]})") from None
    except ValidationError as error:
        raise UserError(f"{path}: {validation_line(error, JobSpec)}") from None
