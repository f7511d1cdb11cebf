"""TLS to controllers as `vsctl set-ssl` says: the real daemons, and Open vSwitch's ofctl."""

import json
import shutil

import pytest

from tests.authority import Authority, needs_openssl
from tests.daemons import wait_until

needs_ovs = pytest.mark.skipif(shutil.which("ovs-ofctl") is None, reason="no ovs-ofctl")
pytestmark = [needs_openssl, needs_ovs, pytest.mark.system]

PORT = 6653


def files(authority, name):
    """(key, certificate, CA's certificate) of a newly issued identity."""
    return [option.partition("=")[2] for option in authority.issue(name)]


def show(switch, identity, check=True):
    """What ovs-ofctl sees of br0 by TLS."""
    key, certificate, ca = identity
    words = ("-p", key, "-c", certificate, "-C", ca, "-OOpenFlow13", "--timeout=5")
    return switch.host.run("ovs-ofctl", *words, "show", f"ssl:127.0.0.1:{PORT}", check=check)


def connected(switch):
    """Targets of the controllers that are connected."""
    table = json.loads(
        switch.vsctl("-f", "json", "--columns=target,is_connected", "list", "Controller")
    )
    return {target for target, state in table["data"] if state}


def works(switch, identity):
    return wait_until(lambda: "br0" in show(switch, identity, check=False), what="TLS")


def test_controllers_by_tls(switch, tmp_path):
    switch.allow("failed to listen|not configured|certificate|SSL|ssl:")
    first, second = (tmp_path / name for name in ("first", "second"))
    first.mkdir()
    second.mkdir()
    one, two = Authority(str(first)), Authority(str(second))
    switch.vsctl("add-br", "br0", "--", "set-controller", "br0", f"pssl:{PORT}:127.0.0.1")
    ofctl = files(one, "ofctl")
    assert "br0" not in show(switch, ofctl, check=False)  # no certificate yet
    switch.vsctl("set-ssl", *files(one, "switch"))
    works(switch, ofctl)
    # br1 goes to br0, as to a controller.
    switch.vsctl("add-br", "br1", "--", "set-controller", "br1", f"ssl:127.0.0.1:{PORT}")
    wait_until(lambda: f"ssl:127.0.0.1:{PORT}" in connected(switch), what="the active side")
    # Another authority: who has a certificate of the first is no longer known.
    other = files(two, "ofctl")
    switch.vsctl("set-ssl", *files(two, "switch"))
    works(switch, other)
    assert "br0" not in show(switch, ofctl, check=False)
    assert switch.vsctl("get-ssl").count(str(second)) == 3
