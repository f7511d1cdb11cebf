"""A real guest of QEMU on a TAP port with its offloads."""

import hashlib
import os
import subprocess

import pytest

from tests import qemu_guest
from tests.daemons import wait_until

pytestmark = [pytest.mark.system, pytest.mark.peer, pytest.mark.timeout(400)]

MAC = "52:54:00:12:34:56"
SIZE = 20_000_000  # bytes


@pytest.fixture
def guest(switch, tmp_path):
    """On br0 by the port vnet0, which has come as libvirt brings it, with 10.0.0.2."""
    if reason := qemu_guest.missing():
        pytest.skip(reason)
    switch.vsctl("add-br", "br0")
    switch.allow("could not open network device vnet0")  # QEMU's TAP goes with it
    made = qemu_guest.Guest(switch.host, tmp_path, "vnet0", MAC)
    try:
        wait_until(lambda: "vnet0" in switch.host.run("ip", "link"), seconds=30, what="the TAP")
        switch.host.run("ip", "link", "set", "vnet0", "up")
        ids = (f'external-ids:attached-mac="{MAC}"', "external-ids:iface-status=active")
        switch.vsctl("add-port", "br0", "vnet0", "--", "set", "Interface", "vnet0", *ids)
        made.wait_until_up()
        made.say("ip address add 10.0.0.2/24 dev eth0; ip address add fd00::2/64 dev eth0")
        yield made
    finally:
        made.close()


def frame_sizes(switch):
    """Bytes of an average frame, from and to the guest."""
    sizes = []
    for way in ("rx", "tx"):
        columns = (f"statistics:{way}_bytes", f"statistics:{way}_packets")
        size, packets = map(int, switch.vsctl("get", "Interface", "vnet0", *columns).split())
        sizes.append(size / packets)
    return sizes


def test_a_guest_talks_with_a_container(switch, guest, tmp_path):
    other = switch.container("c1", "10.0.0.1/24", "br0")
    other.run("ip", "address", "add", "fd00::1/64", "dev", "eth0", "nodad")
    assert "3 packets received" in guest.say("ping -c 3 10.0.0.1")
    assert other.ping("10.0.0.2") == 3 and other.ping("fd00::2") == 3
    # TCP to the guest and back again, in segments that are longer than the MTU.
    content = tmp_path / "content"
    content.write_bytes(os.urandom(SIZE))
    digest = hashlib.sha256(content.read_bytes()).hexdigest()
    guest.begin("nc -l -p 5001 > /tmp/content")
    send = f"until busybox nc 10.0.0.2 5001 < {content}; do sleep 0.2; done"
    other.run("sh", "-c", send, timeout=120)
    guest.finish()
    assert digest in guest.say("sha256sum /tmp/content")
    listen = ("busybox", "nc", "-l", "-p", "5002")
    receiver = other.popen(*listen, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    wait_until(lambda: ":5002" in other.run("ss", "-ltn"), what="the container's nc")
    guest.begin("nc 10.0.0.1 5002 < /tmp/content")
    with receiver:  # whose input stays open: at its end nc would say that it has ended
        assert hashlib.sha256(receiver.stdout.read()).hexdigest() == digest
    guest.finish()
    wait_until(lambda: min(frame_sizes(switch)) > 1514, what="long segments in both directions")
