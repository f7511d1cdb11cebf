"""An endpoint: a veth pair whose one end is a bridge's port, the other a container's interface.

attach() makes all of it or nothing; detach() takes away what is there of it.
"""

import contextlib
import fcntl
import hashlib
import ipaddress
import os
import re
from collections.abc import Callable
from typing import NamedTuple

from .database import Database, Port
from .errors import BadRequest, Fault, NotThere
from .rtnetlink import ALIAS_BYTES, CLONE_NEWNET, Rtnetlink, enable_ipv6, make_deaf

# A device's name (linux/if.h: IFNAMSIZ with the NUL), of which the kernel refuses some bytes.
NAME_BYTES = 15
DEVICE_PREFIX = "pv"
_NAME = re.compile(r"[^\s/:]+\Z")
_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}\Z")
NS_GET_NSTYPE = 0xB703  # linux/nsfs.h
MTU_LEAST, MTU_MOST = 68, 65535
VLAN_MOST = 4095
GROUPS = 0x7FFFFFFF  # of devices
# external_ids of an Interface: what the container's end has, addresses with a blank between.
ADDRESSES, MAC = "container_ips", "attached-mac"
# ... and who it is for, where a controller decides which addresses are the same network's.
LOGICAL = "iface-id"


class Interface(NamedTuple):
    """What the container sees."""

    name: str
    mac: str | None = None
    mtu: int | None = None
    addresses: tuple[str, ...] = ()  # with prefix lengths
    gateways: tuple[str, ...] = ()  # of default routes, one of each family
    routes: tuple[tuple[str, str | None], ...] = ()  # (prefix, gateway)

    def check(self) -> None:
        """Raises BadRequest with what is wrong first."""
        check_name(self.name)
        if self.mac and not _MAC.match(self.mac):
            raise BadRequest(f"{self.mac}: not an Ethernet address")
        if self.mac and int(self.mac[:2], 16) & 1:
            raise BadRequest(f"{self.mac}: a group's address, not that of a station")
        check_mtu(self.mtu)
        vias = (gateway for _prefix, gateway in self.routes if gateway)
        for parse, texts in (
            (ipaddress.ip_interface, self.addresses),
            (ipaddress.ip_address, (*self.gateways, *vias)),
            (ipaddress.ip_network, (prefix for prefix, _gateway in self.routes)),
        ):
            for text in texts:
                try:
                    parse(text)
                except ValueError as error:
                    raise BadRequest(str(error)) from None


def check_name(name: str) -> None:
    """Raises BadRequest where no device can have this name."""
    if not _NAME.match(name) or name in (".", ".."):
        raise BadRequest(f'"{name}": not a name of a network device')
    if len(os.fsencode(name)) > NAME_BYTES:
        raise BadRequest(f'"{name}": longer than {NAME_BYTES} bytes')


def check_vlan(tag: int) -> None:
    """Raises BadRequest where a port cannot have this tag."""
    if not 0 <= tag <= VLAN_MOST:
        raise BadRequest(f"VLAN {tag} is not in the range 0 to {VLAN_MOST}")


def check_mtu(mtu: int | None) -> None:
    """Raises BadRequest where no interface can have this MTU; None is the default."""
    if mtu is not None and not MTU_LEAST <= mtu <= MTU_MOST:
        raise BadRequest(f"MTU {mtu} is not in the range {MTU_LEAST} to {MTU_MOST}")


def device_name(container: str, interface: str) -> str:
    """The switch's end of the pair: the same name whenever the same container asks."""
    digest = hashlib.sha256(f"{container}\0{interface}".encode()).hexdigest()
    return DEVICE_PREFIX + digest[: NAME_BYTES - 3]


def whose(front: str, what: str) -> str:
    """What tells the devices of a front's container, or network, from all others: their alias."""
    return os.fsdecode(os.fsencode(f"{front} {what}")[:ALIAS_BYTES])


def _group(whose: str) -> int:
    """A device has it from its first moment, an alias later.  0 is the group of all others; ip(8)
    knows no more than 31 bits."""
    digest = hashlib.sha256(whose.encode()).digest()
    return int.from_bytes(digest[:4]) & GROUPS or 1 if whose else 0


def devices_of(whose: str) -> list[str]:
    """The switch's ends of pairs that attach() made for one; so a pair is found that has no port
    yet, and never gets one where the call that made it is killed."""
    with Rtnetlink() as host:
        found = host.group(_group(whose))
    return [
        name
        for name, alias in found.items()
        if name.startswith(DEVICE_PREFIX) and alias in ("", whose)  # a group is 32 bits alone
    ]


@contextlib.contextmanager
def namespace(path: str):
    """A descriptor of the network namespace at `path`; raises NotThere."""
    try:
        # O_NONBLOCK: a FIFO would have us wait for its other end.
        netns = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise NotThere(f"{path}: {error.strerror}") from None
    try:
        _check_namespace(netns, path)
        yield netns
    finally:
        os.close(netns)


def _check_namespace(descriptor: int, path: str) -> None:
    try:
        kind = fcntl.ioctl(descriptor, NS_GET_NSTYPE)
    except OSError:
        kind = None  # no namespace at all: what a bind mount was on, or anything
    if kind != CLONE_NEWNET:
        raise NotThere(f"{path}: not a network namespace")


def in_words(error: OSError) -> str:
    """What the system refused, and of what."""
    name = f"{error.filename}: " if error.filename else ""
    return f"{name}{error.strerror}"


def configure(inside: Rtnetlink, netns: int, wanted: Interface) -> str:
    """Brings up an interface with addresses and routes; returns its MAC address."""
    link = inside.link(wanted.name)
    if link is None:
        raise NotThere(f"{wanted.name}: there is no such interface")
    if any(":" in address for address in wanted.addresses):
        enable_ipv6(netns, wanted.name)
    for address in wanted.addresses:
        inside.add_address(link, address)
    loopback = inside.link("lo")
    if loopback and not loopback.is_up:
        inside.set_link(loopback, up=True)
    inside.set_link(link, up=True)
    defaults = [("::/0" if ":" in gateway else "0.0.0.0/0", gateway) for gateway in wanted.gateways]
    for destination, gateway in (*wanted.routes, *defaults):
        inside.add_route(link, destination, gateway)
    return link.mac


def check_new(database: Database, name: str, netns: str, interface: str) -> None:
    """Raises Fault where the namespace has an interface of that name, or the pair of the name is
    there as a whole, wherever its inner end is; NotThere without a namespace."""
    with namespace(netns) as descriptor, Rtnetlink(descriptor) as inside:
        clear(database, name)
        _check_free(inside, interface)
    if is_connected(name):
        raise Fault(f"{interface}: the container is connected already, by port {name}")


def _check_free(inside: Rtnetlink, interface: str) -> None:
    if inside.link(interface) is not None:
        raise Fault(f"{interface}: the container has such an interface already")


def clear(database: Database, name: str) -> None:
    """Take away a pair without its port, which a call left that was killed, or a port without its
    pair, of a container that ended, and nobody said so."""
    if database.has_port(name) != is_connected(name):
        detach(database, name)


def attach(database: Database, bridge: str, netns: str, wanted: Interface, port: Port) -> str:
    """Make the pair, the interface and the port; returns the interface's MAC address.  Half of it,
    from a call that was cut off, is made anew.

    Raises Fault (NotThere, BadRequest, Unavailable …), and then nothing is left of it.
    """
    wanted.check()
    check_name(port.name)
    if not database.has_bridge(bridge):
        raise Fault(f"no bridge named {bridge}")
    check_taken(database, bridge, with_addresses(port, wanted, wanted.mac))
    clear(database, port.name)

    def plug(mac: str) -> None:
        database.add_port(bridge, with_addresses(port, wanted, mac))

    return _connect(netns, wanted, port, plug)


def attach_again(database: Database, bridge: str, netns: str, wanted: Interface, port: Port) -> str:
    """attach() for a port that is there, without its pair, which went with the container as it was
    before: the port keeps its number, VLAN and rates, the interface its MAC address."""
    before = database.external_ids("Interface", port.name)
    wanted = wanted._replace(mac=wanted.mac or before.get(MAC))
    wanted.check()
    check_taken(database, bridge, with_addresses(port, wanted, wanted.mac))

    def plug(mac: str) -> None:
        ids = with_addresses(port, wanted, mac).interface_ids
        database.renew_port(port.name)
        database.change_external_ids("Interface", port.name, add=ids, remove=(ADDRESSES,))

    return _connect(netns, wanted, port, plug)


def _connect(netns: str, wanted: Interface, port: Port, plug: Callable[[str], None]) -> str:
    with namespace(netns) as descriptor, Rtnetlink() as host:
        try:
            return _make_pair(host, descriptor, wanted, port, plug)
        except OSError as error:
            raise Fault(in_words(error)) from None


def _make_pair(
    host: Rtnetlink, netns: int, wanted: Interface, port: Port, plug: Callable[[str], None]
) -> str:
    name = port.name
    with Rtnetlink(netns) as inside:
        _check_free(inside, wanted.name)
        host.add_veth(name, wanted.name, netns, wanted.mac, wanted.mtu, _group(port.whose))
        try:
            mac = configure(inside, netns, wanted)
            link = host.link(name)
            if link is None:
                raise NotThere("the container ended meanwhile")
            make_deaf(name)
            host.set_link(link, up=True, alias=port.whose)
            plug(mac)
        except BaseException:
            host.delete_link(name)
            raise
    return mac


def is_connected(name: str) -> bool:
    """Whether a port's pair is there; it goes with the container's namespace."""
    with Rtnetlink() as host:
        return host.link(name) is not None


def with_addresses(port: Port, wanted: Interface, mac: str | None) -> Port:
    """The port with what the container's end has, for check_taken() of others."""
    ids = dict(port.interface_ids)
    if wanted.addresses:
        plain = (str(ipaddress.ip_interface(address).ip) for address in wanted.addresses)
        ids[ADDRESSES] = " ".join(plain)
    if mac:
        ids[MAC] = mac.lower()
    return port._replace(interface_ids=ids)


def check_taken(database: Database, bridge: str, port: Port, besides: str = LOGICAL) -> None:
    """Raises Fault where a container in the same VLAN of the bridge has one of the addresses.

    Ports whose external_ids have the key `besides` do not count: who hands out the port's addresses
    handed out theirs, and knows which are free.
    """
    wanted = _addresses(port.interface_ids)
    if not wanted or LOGICAL in port.interface_ids:
        return
    for other, ids in database.interfaces_with(ADDRESSES, MAC).items():
        taken = wanted & _addresses(ids)
        if (
            taken
            and other != port.name
            and ids.keys().isdisjoint((LOGICAL, besides))
            and database.place_of(other) == (bridge, port.tag or 0)
            and is_connected(other)
        ):
            raise Fault(f"{min(taken)}: port {other} of {bridge} has this address already")


def _addresses(ids: dict[str, str]) -> set[str]:
    return {*ids.get(ADDRESSES, "").split(), *ids.get(MAC, "").split()}


def detach(database: Database, *names: str) -> None:
    """Take away ports and their pairs; those that are not there do not count."""
    database.delete_ports(*names)
    with Rtnetlink() as host:
        for name in names:
            host.delete_link(name)
