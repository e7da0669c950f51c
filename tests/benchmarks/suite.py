"""Every benchmark of cost, each figure against its target and against what this machine measured before.

    make bench                                  # all, on an idle machine: most of an hour on two cores
    make bench BENCH_ARGS="overlap skew"        # some
    make bench BENCH_ARGS="overlap --quick"     # fewer repetitions: shows that it works
    make bench BENCH_ARGS="--update"            # all, and baselines.json gets what was measured

One line a figure: the value [95 % interval], n, what it is, its target, how it stands to its baseline. `changed` is a
value outside the baseline's interval by more than the figure's tolerance: a thing to look at. Exit code 1 is a target
missed or a benchmark that failed. Baselines of another machine (cores, processor, memory, GPU) are not compared with.
Every benchmark is also a script of its own, and its docstring its manual.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from measure import Figure, Machine, commit

Benchmark = Callable[[bool], list[Figure]]
BASELINES = Path(__file__).with_name("baselines.json")
KEPT = ("value", "low", "high", "n", "unit")
MODULES = {
    "overhead": "overhead",
    "overlap": "overlap",
    "scaling": "scaling",
    "skew": "skew",
    "growth": "growth",
    "buffer": "buffer",
    "sync": "sync_cost",
    "recovery": "recovery",
    "generation": "generation",
    "startup": "startup",
    "weak_to_strong": "confidence_throughput",
    "gpu": "gpu",
}


def benchmark(module: str) -> Benchmark:
    """The benchmark of a module here, imported when it is run."""
    return lambda quick: importlib.import_module(module).figures(quick)


def run(
    names: Sequence[str],
    quick: bool,
    update: bool,
    benchmarks: Mapping[str, Benchmark],
    path: Path = BASELINES,
) -> int:
    """Run benchmarks by name, print their figures, keep them if asked to; 1 if a target is missed or one fails."""
    machine, failed = Machine.here(), []
    baselines: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else {}
    load = f"load {os.getloadavg()[0]:.1f}"
    print(f"{machine.kind}; {load}; " + ", ".join(f"{name} {v}" for name, v in machine.versions.items()), flush=True)
    for name in names:
        began = time.perf_counter()
        try:
            found = benchmarks[name](quick)
        except Exception:
            traceback.print_exc()
            failed.append(f"{name} did not run")
            continue
        for figure in found:
            print(f"{figure}; {figure.against(baselines.get(figure.name), machine.kind)}", flush=True)
            if figure.met is False:
                failed.append(figure.name)
            if update:
                baselines[figure.name] = kept(figure, machine)
                path.write_text(json.dumps(baselines, indent=1, sort_keys=True) + "\n")
        print(f"  ({name}: {time.perf_counter() - began:.0f} s)", flush=True)
    print(f"missed: {', '.join(failed)}" if failed else "every target is met", flush=True)
    return int(bool(failed))


def kept(figure: Figure, machine: Machine) -> dict[str, Any]:
    """What baselines.json says of a figure."""
    values = {name: value for name, value in asdict(figure).items() if name in KEPT}
    stamp = {"date": time.strftime("%Y-%m-%d"), "commit": commit()}
    return {**values, "machine": machine.kind, "versions": machine.versions, **stamp}


def main(given: Sequence[str]) -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MODULES)}; all by default")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--update", action="store_true", help="write baselines.json")
    wanted = parser.parse_args(given)
    if unknown := sorted(set(wanted.names) - set(MODULES)):
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(MODULES)}")
    if wanted.quick and wanted.update:
        parser.error("--quick measures too little for a baseline: leave it or --update out")
    benchmarks = {name: benchmark(module) for name, module in MODULES.items()}
    return run(wanted.names or list(MODULES), wanted.quick, wanted.update, benchmarks)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
