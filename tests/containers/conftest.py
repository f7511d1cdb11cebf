"""A switch with a bridge, and namespaces that stand for containers (by process id)."""

import pytest

from tests.daemons import Namespace


@pytest.fixture
def bridge(switch):
    """The running switch, which has br0."""
    switch.allow("could not open network device pv")  # an interface that went with its container
    switch.vsctl("add-br", "br0")
    return switch


@pytest.fixture
def sandboxes(bridge):
    """Makes empty network namespaces, which end with the test."""
    made = []

    def make():
        made.append(Namespace(bridge.host))
        return made[-1]

    yield make
    for each in made:
        each.close()


def ports(switch):
    """The bridge's ports."""
    return switch.vsctl("list-ports", "br0").split()


def devices(namespace):
    """Names of the network devices of a namespace but lo, and those that are not a container's."""
    lines = namespace.run("ip", "-o", "link").splitlines()
    names = [line.split(": ")[1].partition("@")[0] for line in lines]
    return sorted(name for name in names if name.startswith(("pv", "eth", "net")))
