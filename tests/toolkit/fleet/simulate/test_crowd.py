"""A crowd takes its devices off the network as it was told, however seldom it gets to look."""

from __future__ import annotations

from toolkit.fleet.simulate.crowd import Address, Crowd, CrowdPlan
from toolkit.fleet.simulate.faults import Faults
from toolkit.wire.document import encode_json
from toolkit.wire.keyring import Keyring


def test_an_outage_that_was_over_before_anybody_looked_takes_place_late(free_port):
    now = 0.0
    plan = CrowdPlan(
        names=("box-1", "box-2"),
        site="north",
        broker=Address(host="127.0.0.1", port=free_port()),
        keyring=encode_json(Keyring()),
        faults=Faults(offline=1.0),
    )
    crowd = Crowd(plan, lambda: now)
    try:
        crowd.turn()
        crowd.begin_faults()
        now = 100.0
        crowd.turn()
        assert crowd.traffic.outages == 2
        for _ in range(5):
            crowd.turn()
        assert crowd.traffic.outages == 2
        assert all(member.device.is_open for member in crowd._members)
    finally:
        crowd.close()
