"""conf/, recipes/ and the shipped model are found from a checkout, an editable install and a wheel."""

from __future__ import annotations

import re
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from superalign.config import paths
from tests.installed import ROOT, Environment, build_wheel


def where_home_is(environment: Environment, cwd: Path) -> Path:
    code = "from superalign.config.paths import home; print(home())"
    return Path(environment.output("python", "-c", code, cwd=cwd).strip())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


def test_a_checkout_uses_its_own_conf_and_recipes() -> None:
    assert paths.conf_dir() == ROOT / "conf"
    assert paths.recipe_path("selfplay").is_file()


def test_an_editable_install_uses_the_checkout(tmp_path: Path) -> None:
    environment = Environment.make(tmp_path / "env")
    environment.install("--editable", ROOT)
    assert where_home_is(environment, tmp_path) == ROOT
    printed = environment.output("superalign", "config", "recipe=selfplay", cwd=tmp_path)
    assert yaml.safe_load(printed)["recipe"] == "selfplay"


def test_a_wheel_in_an_empty_environment_brings_conf_recipes_and_model(wheel: Path, tmp_path: Path) -> None:
    environment = Environment.make(tmp_path / "env")
    environment.install(wheel)
    home = where_home_is(environment, tmp_path)
    assert home.name == "_bundled" and tmp_path in home.parents
    printed = environment.output("superalign", "config", "cluster=inline", cwd=tmp_path)
    assert yaml.safe_load(printed)["cluster"]["mode"] == "inline"
    assert "recipe=selfplay" in environment.output("superalign", "--help", cwd=tmp_path)
    assert (home / "recipes" / "selfplay.py").is_file()
    assert (home.parent / "testbed" / "assets" / "base" / "model.safetensors").is_file()


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    tracked = {"superalign": "superalign", "conf": "superalign/_bundled/conf", "recipes": "superalign/_bundled/recipes"}
    ours = {
        f"{inside}/{path.relative_to(ROOT / folder)}"
        for folder, inside in tracked.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == ours


def test_the_wheel_is_small_enough_to_ship_with_the_model_inside(wheel: Path) -> None:
    assert wheel.stat().st_size < 14e6


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def declared() -> list[Requirement]:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    return [
        Requirement(line)
        for line in project["dependencies"] + [each for name in extras if "vllm" not in name for each in extras[name]]
    ]


@pytest.mark.parametrize("requirement", declared(), ids=lambda requirement: requirement.name)
def test_the_lock_satisfies_every_declared_requirement(requirement: Requirement) -> None:
    assert requirement.specifier.contains(locked()[canonicalize_name(requirement.name)], prereleases=True)


def test_every_make_target_that_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(
        re.findall(r"^\s*(?:\$ )?make ([a-z-]+)|`make ([a-z-]+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    )
    assert {a or b for a, b in named} - targets == set()
    assert {"demo", "test"} <= {a or b for a, b in named}


def test_make_shows_its_targets_without_building_anything() -> None:
    shown = subprocess.run(
        ["make", "VENV=/nonexistent/env"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    targets = ["help", "setup", "demo", "demo-real", "test", "test-vllm", "check", "bench", "clean"]
    assert [line.split()[0] for line in shown.splitlines()] == targets
