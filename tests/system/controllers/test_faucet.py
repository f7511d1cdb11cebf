"""Faucet from PyPI: VLANs, an access list, routing between VLANs, and a vswitchd that is killed."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.daemons import wait_until

ROOT = Path(__file__).resolve().parents[3]
CONFIG = """\
vlans:
  office: {vid: 100, faucet_vips: ["10.0.100.254/24"], faucet_mac: "0e:00:00:00:10:01"}
  guest: {vid: 200, faucet_vips: ["10.0.200.254/24"], faucet_mac: "0e:00:00:00:20:01"}
routers:
  between: {vlans: [office, guest]}
acls:
  no-ping-to-c3:
    - rule: {dl_type: 0x800, nw_dst: 10.0.100.3/32, ip_proto: 1, actions: {allow: 0}}
    - rule: {actions: {allow: 1}}
dps:
  switch:
    dp_id: 0x1
    hardware: Open vSwitch
    interfaces:
      1: {native_vlan: office, acl_in: no-ping-to-c3}
      2: {native_vlan: office}
      3: {native_vlan: office}
      4: {native_vlan: guest}
"""
NETWORKS = {1: 100, 2: 100, 3: 100, 4: 200}

pytestmark = [pytest.mark.system, pytest.mark.peer, pytest.mark.timeout(300)]


@pytest.fixture
def faucet(switch, tmp_path):
    installed = subprocess.run(
        [str(ROOT / ".ci" / "controllers"), "faucet"], capture_output=True, text=True
    )
    if installed.returncode:
        pytest.skip(f"Faucet cannot be installed here: {installed.stderr[-200:]}")
    switch.allow("6653: connection (attempt )?(failed|dropped|closed)")
    (tmp_path / "faucet.yaml").write_text(CONFIG)
    environment = {
        "FAUCET_CONFIG": str(tmp_path / "faucet.yaml"),
        "FAUCET_LOG": str(tmp_path / "faucet.log"),
        "FAUCET_EXCEPTION_LOG": str(tmp_path / "exceptions.log"),
        "FAUCET_PROMETHEUS_ADDR": "127.0.0.1",
    }
    with (tmp_path / "faucet.out").open("w") as output:
        process = switch.host.popen(
            installed.stdout.strip(),
            env={**os.environ, **environment},
            stdout=output,
            stderr=output,
        )
    try:
        yield tmp_path
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def containers(switch, faucet):
    """By number: what is plugged into which port of Faucet's configuration."""
    switch.vsctl(
        *("add-br", "br0", "--", "set-fail-mode", "br0", "secure", "--", "set", "bridge", "br0"),
        *("other_config:datapath-id=0000000000000001", "--"),
        *("set-controller", "br0", "tcp:127.0.0.1:6653", "--", "set", "controller", "br0"),
        "max_backoff=1000",
    )
    made = {}
    for number, network in NETWORKS.items():
        asked = ("--", "set", "interface", f"c{number}", f"ofport_request={number}")
        made[number] = switch.container(f"c{number}", f"10.0.{network}.{number}/24", "br0", *asked)
        made[number].run("ip", "route", "add", "default", "via", f"10.0.{network}.254")
    return made


def test_its_network(switch, faucet, containers):
    one, two = containers[1], containers[2]
    wait_until(lambda: one.ping("10.0.100.2", count=1) == 1, seconds=60, what="a ping in a VLAN")
    wait_until(lambda: one.ping("10.0.100.254", count=1) == 1, seconds=30, what="Faucet's address")
    wait_until(lambda: two.ping("10.0.200.4", count=1) == 1, seconds=30, what="a routed ping")
    wait_until(lambda: two.ping("10.0.100.3", count=1) == 1, seconds=30, what="a ping of another")
    assert one.ping("10.0.100.3", count=3, wait=0.3) == 0
    assert two.ping("10.0.200.4") == 3
    switch.restart("pyvs-vswitchd")
    wait_until(lambda: switch.get("controller", ".", "is_connected") == "true", what="its return")
    wait_until(lambda: two.ping("10.0.200.4") == 3, seconds=60, what="routed pings")
    assert one.ping("10.0.100.3", count=3, wait=0.3) == 0
    assert "OFError" not in (faucet / "faucet.log").read_text()
    exceptions = faucet / "exceptions.log"
    assert not exceptions.exists() or exceptions.read_text() == ""
