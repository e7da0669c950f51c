"""Cleans up after a driver, also a killed one: run as `python reaper.py DRIVER_PID FOLDER`, ends when stdin does.

Ray's processes die with the driver by themselves, all but two agents of 100 MB, which first spend a minute on telling
the dead control service about it; and nobody removes the session's folder.
"""

import shutil
import sys

import psutil  # type: ignore[import-untyped]


def main(driver: int, folder: str) -> None:
    """Remember the driver's descendants, wait for its end, kill those that are left and remove the folder."""
    kin = [
        process for process in psutil.Process(driver).children(recursive=True) if process.pid != psutil.Process().pid
    ]
    print("ready", flush=True)
    sys.stdin.read()
    for process in kin:
        # psutil refuses to kill a process that has only inherited the number.
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(kin, timeout=10)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
