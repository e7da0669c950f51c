"""Cleans up after a driver, also a killed one: run as `python ray_cleanup.py DRIVER_PID FOLDER`, ends when stdin does.

Ray's processes die with the driver by themselves, all but two agents of 100 MB, which first spend a minute on telling
the dead control service about it; and nobody removes the session's folder. Where the driver is killed while Ray starts,
more are left.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress

import psutil  # type: ignore[import-untyped]


def main(driver: int, folder: str) -> None:
    """Kill what Ray leaves behind and remove its folder, at the end of stdin.

    At its first line the driver has no Ray yet: its children are its own affair. Those of the later lines are Ray's.
    """
    others: set[psutil.Process] = set()
    kin: list[psutil.Process] = []
    for number, _ in enumerate(sys.stdin):
        children = psutil.Process(driver).children()
        if number:
            roots = [child for child in children if child not in others]
            kin = [process for root in roots for process in (root, *root.children(recursive=True))]
        else:
            others = set(children)  # this process among them
        print("ready", flush=True)
    for _ in range(2):  # what was being started at the first time is found at the second
        # The driver lives on where it has shut Ray down itself, and may keep a log of it open.
        kin += [process for process in processes_using(folder) if process.pid != driver]
        for process in kin:
            # psutil refuses to kill a process that has only inherited the number.
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(kin, timeout=10)
    shutil.rmtree(folder, ignore_errors=True)


def processes_using(folder: str) -> Iterator[psutil.Process]:
    """The processes that name the folder in their command, or have a file below it open, as all of Ray's have a log."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            names = [*process.cmdline(), *(file.path for file in process.open_files())]
            if process.pid != os.getpid() and any(folder in name for name in names):
                yield process


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
