"""A network's gateway on the host, in mode nat: an internal port with the gateway's addresses."""

import contextlib
import errno
from pathlib import Path

from ..database import Database, Port
from ..errors import Fault
from ..rtnetlink import Rtnetlink
from .state import Network

FORWARDING = {4: "/proc/sys/net/ipv4/ip_forward", 6: "/proc/sys/net/ipv6/conf/all/forwarding"}


def ensure(database: Database, network: Network) -> None:
    """Make what is missing of the port, its addresses, and of the host's forwarding."""
    name = network.gateway_device
    if not database.select("Port", [["name", "==", name]], ["name"]):
        database.add_port(
            network.bridge,
            Port(
                name=name,
                type="internal",
                tag=network.vlan,
                mtu_request=network.mtu,
                external_ids={"owner": network.owner, "docker_network": network.id},
            ),
        )
    with Rtnetlink() as host:
        link = host.link(name)
        if link is None:
            raise Fault(f"{name}: the switch has not made this interface")
        for address in network.gateways:
            try:
                host.add_address(link, address)
            except OSError as error:
                if error.errno != errno.EEXIST:
                    raise
        host.set_link(link, up=True)
    for text in network.gateways:
        _forward(6 if ":" in text else 4)


def _forward(version: int) -> None:
    path = Path(FORWARDING[version])
    if path.read_text().strip() == "0":
        path.write_text("1")


def route_loopback(network: Network) -> None:
    """Let packets from 127.0.0.1 to published ports reach the containers; nat.py's rules, which
    keep the containers from the host's loopback, are to be there before."""
    Path(f"/proc/sys/net/ipv4/conf/{network.gateway_device}/route_localnet").write_text("1")


def remove(database: Database, network: Network) -> None:
    """Delete the port."""
    with contextlib.suppress(Fault):
        database.delete_ports(network.gateway_device)
