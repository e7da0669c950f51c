"""A Ray of two nodes on this machine: prints its address and the process of its second node, ends when stdin does."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from ray.cluster_utils import Cluster

STORE_BYTES = 80 * 2**20
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
    head = {"num_cpus": 1, "object_store_memory": STORE_BYTES, "temp_dir": folder, "_system_config": ATTENTIVE}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        second = cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        print(cluster.address, second.all_processes["raylet"][0].process.pid, flush=True)
        sys.stdin.read()
    finally:
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
