"""What devices and routes of the kernel tunnels go by, and when that is looked at again."""

from types import SimpleNamespace

import pytest

from ofproto.underlay import addresses
from vswitchd.tunnels.kernel_routes import KernelAddress, KernelRoute
from vswitchd.tunnels.ways import Ways


class Links:
    """Of names by index."""

    def __init__(self):
        self.change_seqno = 0
        self.names = {7: "eth0"}

    def set(self, index, name):
        self.names[index] = name
        self.change_seqno += 1

    def _link(self, name):
        return name and SimpleNamespace(name=name, mac="aa:55:aa:55:00:00", can_be_port=True)

    def by_index(self, index):
        return self._link(self.names.get(index))

    def get(self, name):
        return self._link(name if name in self.names.values() else None)


def kernel(gateway="10.0.0.2"):
    mine, there = addresses.from_text("10.0.0.1"), addresses.from_text(gateway)
    network, bits = addresses.network_from_text("10.9.0.0/16")
    made = [
        KernelAddress(7, mine, 104, True),
        KernelAddress(7, addresses.from_text("fd16::1"), 64, True),
    ]
    route = KernelRoute(network, bits, 0, 7, there, 0, 0, False)
    return SimpleNamespace(
        addresses=made, routes=[route], indexes={7}, changed=1, run=lambda now: None
    )


@pytest.fixture
def ways():
    made = Ways(Links(), SimpleNamespace(devices={}), follows_kernel=False)
    made._kernel = kernel()
    return made


def test_links_that_no_route_leads_out_by_cost_nothing(ways):
    """A host's containers come and go, and its table of routes is long."""
    listed = []
    set_kernel = ways.underlay.routes.set_kernel
    ways.underlay.routes.set_kernel = lambda routes: (listed.append(1), set_kernel(routes))
    ways.run(0)
    for index in range(100, 110):
        ways._links.set(index, f"veth{index}")
        ways.run(0)
    assert len(listed) == 1
    way = ways.underlay.way(addresses.from_text("10.9.0.7"), 0, 0)
    assert (way.device, way.next_hop) == ("eth0", addresses.from_text("10.0.0.2"))
    ways._links.set(7, "eth9")
    ways.run(0)
    assert ways.underlay.way(addresses.from_text("10.9.0.7"), 0, 0).device == "eth9"


def test_a_gateway_of_the_other_family(ways):
    """RFC 5549: the outer header's source is of the destination's family."""
    ways._kernel = kernel("fd16::2")
    ways.run(0)
    way = ways.underlay.way(addresses.from_text("10.9.0.7"), 0, 0)
    assert (addresses.text(way.source), addresses.text(way.next_hop)) == ("10.0.0.1", "fd16::2")
