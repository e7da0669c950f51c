"""A Ray of two nodes on this machine: prints its address and the process of its second node, ends when stdin does.

When the second node dies another takes its place, some seconds later.
"""

from __future__ import annotations

import select
import shutil
import sys
import tempfile
import time
from pathlib import Path

from ray.cluster_utils import Cluster

STORE_BYTES = 80 * 2**20
NODE = {"num_cpus": 1, "object_store_memory": STORE_BYTES}
LOOK_S, REPLACED_AFTER_S = 0.5, 5.0
# A dead node is noticed within a second or two.
ATTENTIVE = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 4,
}


def main() -> None:
    """Stand until the reader of our output has gone."""
    Path("/tmp/ray").mkdir(exist_ok=True)  # Ray notes its newest cluster there, and does not make the folder for it
    folder = tempfile.mkdtemp(prefix="nodes-", dir="/tmp")
    cluster = Cluster(initialize_head=True, head_node_args=NODE | {"temp_dir": folder, "_system_config": ATTENTIVE})
    try:
        raylet = cluster.add_node(**NODE).all_processes["raylet"][0].process
        print(cluster.address, raylet.pid, flush=True)
        while not select.select([sys.stdin], [], [], LOOK_S)[0]:
            if raylet.poll() is not None:
                time.sleep(REPLACED_AFTER_S)
                raylet = cluster.add_node(**NODE).all_processes["raylet"][0].process
    finally:
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
