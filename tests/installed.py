"""superalign as users have it: wheels, installed in an environment of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def build_wheel(project: Path, out: Path) -> Path:
    """The wheel of a project."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(project)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    return built


@dataclass(frozen=True)
class Environment:
    """An environment that sees the packages of this one, but not an editable superalign among them."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Environment:
        venv.create(folder, symlinks=True, with_pip=False)
        site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
        # A path inside a .pth is searched for packages only: the .pth files inside it are not read.
        (site / "outer.pth").write_text(sysconfig.get_path("purelib") + "\n")
        return cls(folder)

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def install(self, *what: str | Path) -> None:
        """Wheels, or `--editable FOLDER`; what they depend on is there."""
        subprocess.run(
            [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--quiet", "--no-deps",
             "--no-index", "--no-build-isolation", "--ignore-installed", *map(str, what)],
            check=True,
        )  # fmt: skip

    def run(self, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """One of the environment's programs, as a user types it; nothing of the checkout is on its path."""
        program, *rest = command
        without = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        given = [str(self.folder / "bin" / program), *rest]
        return subprocess.run(given, cwd=cwd, env=without, capture_output=True, text=True)

    def output(self, *command: str, cwd: Path) -> str:
        """What a program prints; it must succeed."""
        done = self.run(*command, cwd=cwd)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
