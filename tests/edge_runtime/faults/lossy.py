"""Bring a version to a device inside a network that loses packets; `test_network` makes that network and runs this.

python -m tests.edge_runtime.faults.lossy PORT FOLDER     prints the bytes of chunks that were sent again
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.conftest import Mosquitto
from tests.edge_runtime.conftest import Depot, Device, Keys
from tests.edge_runtime.faults.ledger import MUCH, assert_whole, make, paced, sent_again


def main(port: int, folder: Path) -> None:
    """Do it, on loopback."""
    keys, broker = Keys(), Mosquitto(folder / "mosquitto", port=port)
    broker.start()
    depot = Depot(f"mqtt://127.0.0.1:{port}", keys)
    device = Device(folder / "device", port, keys)
    try:
        made, files = make(keys, 1)
        # TCP may take seconds to repair a loss; patience is not what is tried here.
        device.start(*paced(MUCH))
        depot.offer(made)
        depot.wait_for_state("ACTIVE", "v1")
        assert_whole(device, made, files)
        print(sent_again(depot, made))
    finally:
        device.kill()
        depot.close()
        broker.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
