"""What devices and routes of the kernel tunnels go by, and when that is looked at again."""

from types import SimpleNamespace

import pytest

from ofproto.underlay import addresses
from ofproto.underlay.routes import MAX_USER_ROUTES, Route
from pyvs.kept import KeptFile
from pyvs.process.daemon import CommandError
from vswitchd.appctl import underlay
from vswitchd.tunnels.kept_routes import KeptRoutes
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


def test_users_routes_outlive_the_process(tmp_path):
    path = tmp_path / "tunnels.routes"
    ways = [Ways(Links(), SimpleNamespace(devices={}), False, str(path))]
    network, bits = addresses.network_from_text("10.9.0.0/16")
    via, mine = addresses.from_text("10.0.0.2"), addresses.from_text("10.0.0.1")
    six = addresses.network_from_text("fd17::/64"), addresses.from_text("fd16::1")
    wanted = [
        Route(network, bits, 5, "eth0", via, mine, is_user=True),
        Route(*six[0], 0, "eth0", 0, six[1], is_user=True),
    ]
    routes = ways[0].underlay.routes
    for route in (*wanted, Route(network, bits, 0, "eth0", via, mine)):
        routes.add(route)
    ways[0].kept_routes.write()
    ways.append(Ways(Links(), SimpleNamespace(devices={}), False, str(path)))
    assert sorted(ways[1].underlay.routes) == sorted(wanted)
    ways[1].underlay.routes.remove(wanted[0])
    ways[1].kept_routes.write()
    ways.append(Ways(Links(), SimpleNamespace(devices={}), False, str(path)))
    assert list(ways[2].underlay.routes) == wanted[1:]
    ways[2].close(delete=True)
    assert not path.exists()


def test_as_many_routes_of_users_as_a_file_has_quickly(tmp_path, ways):
    """One more is refused, and another way for one that there is, is not."""
    path = str(tmp_path / "tunnels.routes")
    ways.kept_routes = KeptRoutes(path, ways.underlay.routes)
    ways.run(0)
    mine = addresses.from_text("10.0.0.1")
    for number in range(MAX_USER_ROUTES):
        network = addresses.from_text(f"10.{1 + number // 256}.{number % 256}.0")
        ways.underlay.routes.add(Route(network, 120, 0, "eth0", 0, mine, is_user=True))
    switch = SimpleNamespace(ways=ways)
    with pytest.raises(CommandError, match="may not be more"):
        underlay.route_add(switch, ["172.16.0.0/16", "eth0", "10.0.0.2"])
    assert underlay.route_add(switch, ["10.1.0.0/24", "eth0", "10.0.0.2"]) == "OK"
    found = KeptFile(path).read()[0]["routes"]
    assert len(found) == MAX_USER_ROUTES == ways.underlay.routes.n_user
    assert sum(row[4] == "10.0.0.2" for row in found) == 1
    assert underlay.route_del(switch, ["10.1.0.0/24"]) == "OK"
    assert underlay.route_add(switch, ["172.16.0.0/16", "eth0", "10.0.0.2"]) == "OK"


@pytest.mark.parametrize(
    "row",
    [
        ["10.9.0.0", 112, 0, "eth0", None],
        ["10.9.0.1", 112, 0, "eth0", None, "10.0.0.1"],
        ["10.9.0.0", 129, 0, "eth0", None, "10.0.0.1"],
        ["10.9.0.0", "112", 0, "eth0", None, "10.0.0.1"],
        ["10.9.0.0", 112, 1 << 32, "eth0", None, "10.0.0.1"],
        ["10.9.0.0", 112, 0, 7, None, "10.0.0.1"],
        ["10.9.0.0", 112, 0, "eth0", [], "10.0.0.1"],
        "nothing",
        None,
    ],
)
def test_a_kept_route_that_does_not_fit_is_left_out(tmp_path, row):
    path = str(tmp_path / "tunnels.routes")
    good = ["10.8.0.0", 112, 0, "eth0", None, "10.0.0.1"]
    KeptFile(path).write({"routes": [row, good]})
    [route] = Ways(Links(), SimpleNamespace(devices={}), False, path).underlay.routes
    assert addresses.text(route.network) == "10.8.0.0" and route.is_user
