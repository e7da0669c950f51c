"""A scripted expert, a process of its own: `python expert.py QUEUE ACKNOWLEDGED ORDER`.

Two annotators answer everything that is open, by its content and name alone, and note each label once it is
acknowledged. The second answers what the first has answered, so that who labels what does not rest on the moment.
Seconds written into the file ORDER have the process kill itself so long after it begins its next submit.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from superalign.errors import UserError
from superalign.experts.queue import ExpertQueue
from superalign.records import content_share

FIRST, SECOND = "ada", "ben"
PAUSE_S = 0.1


def answer(queue: ExpertQueue, who: str, acknowledged: Path, order: Path) -> None:
    """Answer all that is open to one annotator."""
    queue.release_all(who)  # what this one held when it was killed, or when the disk was full
    while (leased := queue.claim(who, 60)) is not None:
        if who != FIRST and all((a.item.id, a.annotator) != (leased.item.id, FIRST) for a in queue.answers()):
            # It was pushed since the first one looked.
            queue.release(leased.token)
            return
        value = float(content_share("scripted answer", leased.item.id, who) < 0.5)
        if leased.item.blind:
            queue.answer_alone(leased.token, leased.item.as_shown(value))
        if order.is_file():
            delay = float(order.read_text())
            order.unlink()
            threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
        label = queue.submit(leased.token, leased.item.as_shown(value))
        with open(acknowledged, "a", encoding="utf-8") as notes:
            notes.write(label.id + "\n")


def main(store: Path, acknowledged: Path, order: Path) -> None:
    """Answer until killed."""
    while not store.is_file():
        time.sleep(PAUSE_S)
    queue: ExpertQueue | None = None
    while True:
        try:
            queue = queue or ExpertQueue.of_run(store, None)
            for who in (FIRST, SECOND):
                answer(queue, who, acknowledged, order)
        except UserError as error:  # the disk is full: what was not acknowledged is answered again
            print(error, flush=True)
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
