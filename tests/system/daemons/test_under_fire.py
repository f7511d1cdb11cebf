"""Verified traffic while rules change at random: nothing is corrupted, comes twice or goes astray,
and after a FLOW_MOD's barrier no packet follows the old rule."""

import random
import time

import pytest

from ofproto.codec import messages as m
from ofproto.text import flow_text
from tests.of_client import Client
from tests.system.daemons.verified_traffic import (
    N_FLOWS,
    Action,
    Known,
    Traffic,
    flow_address,
    random_action,
    rule_of,
)
from tests.system.traffic import Transfer

pytestmark = [pytest.mark.system, pytest.mark.timeout(200)]

SECONDS = 6
NAMES = ("ca", "cb", "cc")


def put_under_fire(switch, seconds, seed, workers, cached, queues=1):
    """Returns (frames sent, arrived, faults, rules changed)."""
    rng = random.Random(seed)
    switch.start(datapath=[f"--workers={workers}"])
    switch.vsctl("set", "Open_vSwitch", ".", f"other_config:kernel-cache={str(cached).lower()}")
    switch.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "fail_mode=secure")
    hosts = {name: switch.container(name, f"10.0.0.{n}/24") for n, name in enumerate(NAMES, 1)}
    for number, name in enumerate(hosts, 1):
        switch.vsctl(
            *("add-port", "br0", name, "--", "set", "interface", name),
            *(f"ofport_request={number}", f"options:n_rxq={queues}"),
        )
    ports = {name: number for number, name in enumerate(hosts, 1)}
    known = Known({flow: Action("cb", "plain") for flow in range(N_FLOWS)})
    lines = [f"{rule_of(flow)},actions=output:{ports['cb']}" for flow in range(N_FLOWS)]
    switch.ofctl("add-flows", "br0", _written(switch, [*lines, "priority=1,actions=normal"]))
    client = Client.unix(switch.directory / "br0.mgmt", version=1)
    client.hello()
    transfer = Transfer(hosts["ca"], hosts["cb"])
    traffic = Traffic(hosts["ca"], {name: hosts[name] for name in NAMES[1:]}, known)
    end, changes = time.monotonic() + seconds, 0
    try:
        while time.monotonic() < end and not known.faults:
            changes += 1
            flow = rng.randrange(N_FLOWS)
            action = random_action(rng, NAMES[1:])
            known.may_come(flow, action)
            text = f"{rule_of(flow)},actions={action.text(ports)}"
            client.do(flow_text.parse_flow(text, m.MODIFY_STRICT))
            known.has_come(flow)
            time.sleep(0.002)
        if known.faults:
            faulty = known.faults[0].split("flow ")[1].split()[0]
            words = switch.dpctl("dump-flows", "-m").splitlines()
            known.faults += [line for line in words if flow_address(int(faulty)).hex(":") in line]
    finally:
        client.sock.close()
        sent, arrived, faults = traffic.stop()
    assert all(rate >= 0 for rate in transfer.stop())
    return sent, arrived, faults, changes


def _written(switch, lines):
    path = switch.directory / "flows.txt"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


@pytest.mark.parametrize(
    ("workers", "cached", "queues"), [(1, True, 1), (1, False, 1), (4, True, 2), (3, False, 4)]
)
def test_verified_traffic_while_rules_change(switch_daemons, workers, cached, queues):
    sent, arrived, faults, changes = put_under_fire(
        switch_daemons, SECONDS, f"{workers}{cached}", workers, cached, queues
    )
    assert not faults, "\n".join(faults[:3])
    assert changes > 50 and arrived > sent // 4, (sent, arrived, changes)
