"""vswitchd is killed and comes back under traffic through a tunnel: none of it is lost."""

import pytest

from tests.daemons import wait_until
from tests.system.layer2.test_killed_protocols import Watch, kill, watched  # noqa: F401
from tests.system.networks.test_tunnels import HERE, HERE6, KINDS, THERE, THERE6, World

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.mark.parametrize("version", [4, 6])
def test_pings_go_on(watched, version):  # noqa: F811
    world = World(watched)
    options, device = KINDS["vxlan"]
    here, there = (HERE, THERE) if version == 4 else (HERE6, THERE6)
    world.tunnel("vxlan", there, options)
    world.device(device if version == 4 else device.replace("noudpcsum ", ""), here, there)
    wait_until(lambda: world.inside.ping("10.9.0.2", count=1), what="the first answer")
    neighbours = watched.appctl("tnl/neigh/show")
    if version == 4:
        watched.appctl("ovs/route/add", "10.77.0.0/16", "br0", there)
        watched.appctl("ovs/route/add", "10.78.0.0/16", "br0", there, "pkt_mark=9")
        watched.appctl("ovs/route/del", "10.77.0.0/16")
    routes = watched.appctl("ovs/route/show")
    assert ("User: 10.78.0.0/16 MARK 9 dev br0 GW" in routes) == (version == 4)
    watch = Watch(world.inside, "10.9.0.2")
    kill(watched)
    assert watched.appctl("ovs/route/show") == routes
    assert watched.appctl("tnl/neigh/show") == neighbours
    kill(watched)
    watch.stop()
