"""docker/: what can be told without an engine. `docker/build.sh smoke` builds the image and trains in it."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from superalign.commands.main import parser
from superalign.config.compose import load
from superalign.runtime.connection import RAY_ENVIRONMENT

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
Instructions = list[tuple[str, str]]


def stages() -> tuple[dict[str, str], dict[str, Instructions]]:
    """The Dockerfile's arguments before the first stage; and each stage's instructions, after those of its base."""
    text = re.sub(r"^\s*#.*\n", "", (DOCKER / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    arguments: dict[str, str] = {}
    found: dict[str, Instructions] = {}
    current: Instructions = []
    for line in filter(None, map(str.strip, text.splitlines())):
        word, rest = line.split(maxsplit=1)
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            current = found[name] = list(found.get(base, [("FROM", base)]))
        elif not found:
            arguments.update([rest.split("=", 1)])
        else:
            current.append((word, rest))
    return arguments, found


def last(instructions: Instructions, word: str) -> str:
    return next(rest for given, rest in reversed(instructions) if given == word)


def services(*files: str) -> dict[str, dict[str, Any]]:
    """The services of compose files laid over each other, as far as these files need it: a later value replaces."""
    found: dict[str, dict[str, Any]] = {}
    for file in files:
        for name, service in yaml.safe_load((DOCKER / file).read_text())["services"].items():
            found[name] = found.get(name, {}) | service
    return found


def filled_in(word: str) -> str:
    """A word of a command with the defaults of its variables."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", word)


def pins(lock: Path) -> dict[str, str]:
    return dict(line.split("==") for line in lock.read_text().splitlines() if "==" in line and line[0] != "#")


def test_base_python_and_label_are_those_of_the_project() -> None:
    arguments, found = stages()
    base = re.fullmatch(r"python:(\d+\.\d+)\.\d+-slim-bookworm", arguments["BASE"])
    assert base and base[1] == PROJECT["tool"]["mypy"]["python_version"]
    assert ("RUN", f"python{base[1]} -m venv /opt/superalign") in found["build"]
    assert all(instructions[0] == ("FROM", "${BASE}") for instructions in found.values())
    labels = " ".join(rest for word, rest in found["cpu"] if word == "LABEL")
    assert f'image.version="{PROJECT["project"]["version"]}"' in labels


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_a_target_ends_as_a_numbered_user_that_is_not_root_and_is_checked(target: str) -> None:
    instructions = stages()[1][target]
    assert int(last(instructions, "USER")) > 0
    assert "CMD" in last(instructions, "HEALTHCHECK") and "/runs" in last(instructions, "HEALTHCHECK")
    assert last(instructions, "ENTRYPOINT") == '["superalign"]'
    assert ("COPY", f"--from=build-{target} /opt/superalign /opt/superalign") in instructions


def test_any_user_can_work_in_the_image_and_the_commands_told_name_the_folders_owner() -> None:
    made = " ".join(rest for word, rest in stages()[1]["runtime"] if word == "RUN")
    assert "--mode=1777 /home/superalign /runs" in made
    told = [(ROOT / name).read_text() for name in ("docker/README.md", "docker/Dockerfile")]
    commands = [line for text in told for line in text.splitlines() if "docker run" in line and ":/runs" in line]
    assert len(commands) == 4 and all('--user "$(id -u):$(id -g)"' in line for line in commands)
    assert all("mkdir -p runs" in text for text in told)


@pytest.mark.parametrize(
    ("lock", "extras"), [("requirements.lock", ["experts"]), ("docker/cuda.lock", ["experts", "vllm"])]
)
def test_a_lock_pins_what_its_target_installs(lock: str, extras: list[str]) -> None:
    pinned, project = pins(ROOT / lock), PROJECT["project"]
    for line in [*project["dependencies"], *(r for extra in extras for r in project["optional-dependencies"][extra])]:
        requirement = Requirement(line)
        assert pinned[requirement.name] in requirement.specifier, line


def test_no_image_is_whatever_is_latest() -> None:
    images = [stages()[0]["BASE"], *(service["image"] for service in services("compose.yaml").values())]
    assert all(":" in image and not image.endswith(":latest") for image in images)


@pytest.mark.parametrize("files", [("compose.yaml",), ("compose.yaml", "compose.gpu.yaml")])
def test_every_service_is_checked_and_bound_to_this_machine(files: tuple[str, ...]) -> None:
    for name, service in services(*files).items():
        inherited = service.get("build", {}).get("target") in ("cpu", "cuda") and "entrypoint" not in service
        assert "healthcheck" in service or inherited, name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name


def test_no_secret_has_a_value_until_somebody_gives_it_one() -> None:
    example = dict(re.findall(r"^(\w+)=(.*)$", (DOCKER / ".env.example").read_text(), re.MULTILINE))
    secrets = {
        (key, value)
        for service in services("compose.yaml").values()
        for key, value in service["environment"].items()
        if re.search("PASSWORD|TOKEN", key)
    }
    assert {key for key, _ in secrets} == {"PGPASSWORD", "POSTGRES_PASSWORD", "RAY_AUTH_TOKEN"}
    for key, value in secrets:
        variable = re.fullmatch(r"\$\{(\w+):\?.+\}", value)
        assert variable, f"{key} can be empty"
        assert example[variable[1]] == ""


def test_nodes_are_told_what_a_ray_of_our_own_is_told() -> None:
    given = services("compose.yaml")["worker"]["environment"]
    shared = given.keys() & RAY_ENVIRONMENT.keys()
    assert len(shared) == 3
    assert {key: given[key] for key in shared} == {key: RAY_ENVIRONMENT[key] for key in shared}


@pytest.mark.parametrize("node", ["head", "worker"])
def test_the_object_store_of_a_node_fits_into_its_shared_memory(node: str) -> None:
    service = services("compose.yaml")[node]
    (given,) = (word.split("=")[1] for word in service["command"] if word.startswith("--object-store-memory="))
    assert service["shm_size"] == "2gb" and 2**30 < int(given) < 2 * 2**30


@pytest.mark.parametrize(
    ("name", "files"),
    [("train", ("compose.yaml",)), ("train", ("compose.yaml", "compose.gpu.yaml")), ("experts", ("compose.yaml",))],
)
def test_a_command_is_one_that_superalign_takes(name: str, files: tuple[str, ...]) -> None:
    service = services(*files)[name]
    assert "entrypoint" not in service
    parsed = parser().parse_args([filled_in(word) for word in service["command"]])
    if name == "train":
        config = load(parsed.overrides)
        assert (config.recipe, config.expert.source) == ("selfplay", "queue")
    else:
        assert (parsed.run, parsed.host) == ("mine", "0.0.0.0")


@pytest.mark.parametrize(
    "command",
    [["bash", "-n", "build.sh"], ["shellcheck", "build.sh"], ["hadolint", "Dockerfile"]],
    ids=lambda command: command[0],
)
def test_linters_have_nothing_to_say(command: list[str]) -> None:
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(command, cwd=DOCKER, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
