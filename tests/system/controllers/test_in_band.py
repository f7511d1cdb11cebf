"""A controller behind the bridge that it controls, and no other flow that lets them talk."""

import re

import pytest

from tests.daemons import wait_until

pytestmark = pytest.mark.system

# It answers each connection's HELLO by one of OpenFlow 1.3, and reads on.
CONTROLLER = """
import socket, threading
def serve(peer):
    peer.sendall(bytes.fromhex("0400000800000001"))
    while peer.recv(4096): pass
with socket.create_server(("", 6653)) as server:
    print("ready", flush=True)
    while True: threading.Thread(target=serve, args=server.accept()[:1], daemon=True).start()
"""


def hidden(switch):
    """(priority, match) of the hidden flows but for the tables' ends."""
    shown = switch.appctl("bridge/dump-flows", "br0")
    return re.findall(r"priority=(18\d{4}),(\S+?),?actions=NORMAL", shown)


def is_connected(switch):
    return switch.get("controller", ".", "is_connected") == "true"


def test_a_controller_behind_the_bridge(switch):
    switch.allow("failing open|connection (attempt )?(failed|timed out|dropped|closed)|no response")
    switch.vsctl("add-br", "br0", "--", "set-fail-mode", "br0", "secure")
    there = switch.container("c1", "10.0.0.1/24", "br0")
    for words in (("addr", "add", "10.0.0.9/24", "dev", "br0"), ("link", "set", "br0", "up")):
        switch.host.run("ip", *words)
    controller = there.popen("python3", "-c", CONTROLLER, stdout=-1, text=True)
    try:
        assert controller.stdout.readline() == "ready\n"
        # A secure bridge has no flows of its own: without in-band control nothing passes.
        switch.vsctl("set-controller", "br0", "tcp:10.0.0.1:6653", "--",
                     "set", "controller", "br0", "connection_mode=out-of-band")  # fmt: skip
        wait_until(lambda: "last_error" in switch.vsctl("list", "controller"), what="a refusal")
        assert not hidden(switch) and there.ping("10.0.0.9", count=1) == 0
        switch.vsctl("clear", "controller", "br0", "connection_mode")
        wait_until(lambda: is_connected(switch), seconds=30, what="the controller")
        mac = switch.get("interface", "br0", "mac_in_use")
        matches = dict(hidden(switch))
        assert matches["180000"] == f"udp,in_port=LOCAL,dl_src={mac},tp_src=68,tp_dst=67"
        assert matches["180007"] == "tcp,nw_dst=10.0.0.1,tp_dst=6653"
        assert "180009" not in matches  # as Open vSwitch, which has none
        assert there.ping("10.0.0.9", count=1) == 0  # who has no part in this has no flow
        # They are the switch's own: nobody deletes them, and nobody sees them by OpenFlow.
        switch.ofctl("del-flows", "br0")
        assert "18000" not in switch.ofctl("dump-flows", "br0")
        assert dict(hidden(switch)).items() >= matches.items()
        switch.vsctl("set", "bridge", "br0", "other_config:in-band-queue=3")
        wait_until(
            lambda: "set_queue:3,NORMAL" in switch.appctl("bridge/dump-flows", "br0"), what="queue"
        )
        # A manager of the database has its own, as Open vSwitch has them.
        switch.allow("tcp:10.0.0.77:6640")
        switch.vsctl("set-manager", "ptcp:6640", "tcp:10.0.0.77")
        wanted = "tcp,nw_dst=10.0.0.77,tp_dst=6640"
        dump = ("bridge/dump-flows", "br0")
        wait_until(lambda: wanted in switch.appctl(*dump), what="a manager's rules")
        switch.vsctl("del-manager")
        wait_until(lambda: wanted not in switch.appctl(*dump), what="their end")
        switch.vsctl("set", "bridge", "br0", "other_config:disable-in-band=true")
        wait_until(lambda: "priority=18" not in switch.appctl("bridge/dump-flows", "br0"))
    finally:
        controller.kill()
        controller.communicate()


def test_the_address_that_a_controller_says(switch):
    """The local port has it, with the mask of its class, and keeps what else somebody gives it."""
    switch.allow("failing open|connection (attempt )?(failed|timed out|dropped|closed)|no response")
    switch.allow("is not a valid IP address")
    switch.vsctl("add-br", "br0", "--", "set-controller", "br0", "tcp:172.20.0.1:6653")

    def say(*columns):
        switch.vsctl("set", "controller", "br0", *columns)

    def shown(*words):
        return switch.host.run("ip", "-4", *words, "dev", "br0")

    say("local_ip=172.20.0.9", "connection_mode=out-of-band")
    assert "inet" not in shown("addr", "show")
    say("connection_mode=in-band")
    assert "inet 172.20.0.9/16 " in shown("addr", "show")
    assert "default" not in shown("route", "show")
    say("local_netmask=255.255.255.0", "local_gateway=172.20.0.1")
    assert "inet 172.20.0.9/24 " in shown("addr", "show")
    assert "default via 172.20.0.1" in shown("route", "show")
    switch.host.run("ip", "addr", "add", "10.0.0.9/24", "dev", "br0")
    switch.vsctl("add-br", "br1", "--", "set", "bridge", "br0", "other_config:a=b")
    say("local_ip=here")
    assert {"172.20.0.9/24", "10.0.0.9/24"} <= set(shown("addr", "show").split())
