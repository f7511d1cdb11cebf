"""Which ports of the host lead to containers.

A binding is libnetwork's PortBinding, as it comes in a request: Proto (a number of IP's), HostIP
("" is all addresses), HostPort to HostPortEnd (0 is any), and Port, the container's.
"""

import errno
import ipaddress
import os
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..errors import BadRequest, Fault

Binding = dict[str, Any]

PORT_MOST = 65535
# Where a container's port goes that is published without a number of the host's.
ANY = range(49153, PORT_MOST + 1)
PROTOCOLS = {6: "tcp", 17: "udp", 132: "sctp"}
# What a program of the host's that has the port would be found by; nobody listens by SCTP.
KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
# Of the two families that "" means one may be missing; a small number may be forbidden to this
# process alone (CAP_NET_BIND_SERVICE).
CANNOT_TELL = (errno.EAFNOSUPPORT, errno.EACCES)
# HostIP that stands for all addresses -> the families that are meant
EVERYWHERE = {"": (4, 6), "0.0.0.0": (4,), "::": (6,)}


class Place(NamedTuple):
    """One port of the host's."""

    protocol: str
    address: str  # a key of EVERYWHERE, or one of the host's
    port: int

    def meets(self, other: "Place") -> bool:
        """Whether one packet could be for both."""
        if (self.protocol, self.port) != (other.protocol, other.port):
            return False
        if self.address in EVERYWHERE or other.address in EVERYWHERE:
            return bool(set(families(self.address)) & set(families(other.address)))
        return ipaddress.ip_address(self.address) == ipaddress.ip_address(other.address)


def families(address: str) -> tuple[int, ...]:
    """The IP versions of a HostIP."""
    return EVERYWHERE.get(address) or (ipaddress.ip_address(address).version,)


def place_of(binding: Binding, port: int) -> Place:
    """The place of a binding, with that port of the host's; raises BadRequest."""
    protocol = PROTOCOLS.get(binding.get("Proto") or 6)
    if protocol is None:
        raise BadRequest(f"published port: protocol {binding['Proto']} is not supported")
    address = binding.get("HostIP") or ""
    try:
        families(address)
    except ValueError:
        raise BadRequest(f"published port: {address} is no address") from None
    return Place(protocol, address, port)


def places(bindings: list[Binding]) -> list[Place]:
    """Those of bindings that with_host_ports() returned."""
    return [place_of(binding, binding["HostPort"]) for binding in bindings]


def _wanted(binding: Binding) -> range:
    """The host's ports that would do."""
    if not 0 < binding["Port"] <= PORT_MOST:
        raise BadRequest(f"published port: {binding['Port']} is not in the range 1 to {PORT_MOST}")
    first = binding.get("HostPort") or 0
    last = binding.get("HostPortEnd") or first
    if not 0 <= first <= last <= PORT_MOST:
        raise BadRequest(f"published port: {first} to {last} is no range of ports")
    return range(first, last + 1) if first else ANY


def with_host_ports(
    bindings: list[Binding], taken: list[Place], programs: bool = True
) -> list[Binding]:
    """The bindings, each with one port of the host's that no container has, and no program; these
    do not count without `programs`, where the runtime itself may hold the port.

    Raises Fault where there is none, BadRequest where there cannot be one.
    """
    found = []
    others: dict[int, list[Place]] = {}  # those of each port, for containers may have thousands
    for place in taken:
        others.setdefault(place.port, []).append(place)
    # Who asks for the same goes on where the one before found a port: a container may have
    # thousands, and for each all those before it would be looked at again.
    searches: dict[tuple, Iterator[Place]] = {}
    for binding in bindings:
        wanted = _wanted(binding)
        alike = (binding.get("Proto"), binding.get("HostIP"), wanted)
        place = next(searches.setdefault(alike, _free(binding, wanted, others, programs)))
        others.setdefault(place.port, []).append(place)
        found.append({**binding, "HostPort": place.port, "HostPortEnd": place.port})
    return found


def _free(
    binding: Binding, wanted: range, taken: dict[int, list[Place]], programs: bool
) -> Iterator[Place]:
    """Those of the host's ports that are free; raises Fault where there are no more."""
    trouble = ""
    for port in wanted:
        place = place_of(binding, port)
        if any(place.meets(other) for other in taken.get(port, ())):
            trouble = f"port {port} of the host is published already"
        elif number := programs and _occupied(place):
            trouble = f"port {port} of the host: {os.strerror(number)}"
        else:
            yield place
            trouble = f"port {port} of the host is published already"
    raise Fault(trouble if len(wanted) == 1 else f"no port of {wanted[0]} to {wanted[-1]} is free")


def _occupied(place: Place) -> int:
    """Why a program could not have the place, a number of errno's; 0 where it could."""
    kind = KINDS.get(place.protocol)
    if kind is None:
        return 0
    for version in families(place.address):
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        try:
            with socket.socket(family, kind) as probe:
                _bind(probe, place)
        except OSError as error:
            if error.errno not in CANNOT_TELL:
                return error.errno or errno.EINVAL
    return 0


def _bind(probe: socket.socket, place: Place) -> None:
    if probe.type == socket.SOCK_STREAM:  # old connections are in nobody's way
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if probe.family == socket.AF_INET6:
        probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    probe.bind((place.address, place.port))
