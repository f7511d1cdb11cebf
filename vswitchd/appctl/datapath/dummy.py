"""netdev-dummy/*: packets into dummy ports, and their state."""

import ipaddress
from typing import TYPE_CHECKING, Any

from datapath.base.protocols import ETH_ARP, ETH_IP, ETH_IPV6, ETH_MPLS, ETH_NSH
from datapath.ipc.dpif import DpifError, DpifStalled
from datapath.key import key_text
from datapath.key.compose import compose
from pyvs import clock, digits
from pyvs.process.control import Pieces
from pyvs.process.daemon import CommandError
from vswitchd.appctl.datapath.asking import asking, awaited, dpif, insist

if TYPE_CHECKING:
    from vswitchd.devices.iface import Iface
    from vswitchd.switch import Switch

LEAST_FRAME, LONGEST_FRAME = 14, 65535
LAST_QUEUE = 65535
# Group of a datapath flow's text -> the Ethernet type that it stands for
ETH_TYPES = {
    "ipv4": ETH_IP,
    "ipv6": ETH_IPV6,
    "arp": ETH_ARP,
    "mpls": ETH_MPLS,
    "nsh": ETH_NSH,
}
ROUNDS = 64  # of upcalls that one packet may cause before the command returns


def _bridge_of(switch: "Switch", name: str) -> Any:
    for bridge in switch.bridges.values():
        if name in switch.dummies.devices and name in bridge.ifaces:
            return bridge
    raise CommandError("no such dummy netdev")


def _iface(switch: "Switch", name: str) -> "Iface":
    return _bridge_of(switch, name).ifaces[name]


# --- receive


def _frame(text: str, size: int | None) -> bytes:
    """A packet from hexadecimal digits, or a datapath flow's text."""
    digits = "".join(text.split())
    if len(digits) % 2 == 0 and digits and all(each in "0123456789abcdefABCDEF" for each in digits):
        return bytes.fromhex(digits)
    try:
        key, _mask = key_text.parse_key(_with_eth_type(text))
    except ValueError as error:
        raise CommandError(f"syntax error at {text}") from error
    return compose(key, size)


def _with_eth_type(text: str) -> str:
    """A flow's text with what goes without saying."""
    if "eth_type(" in text or "packet_type(ns=1" in text:
        return text
    for group, number in ETH_TYPES.items():
        before, found, rest = text.partition(f"{group}(")
        if found:
            return f"{before}eth_type({number:#06x}),{found}{rest}"
    return text


def _packets(words: list[str]) -> list[bytes]:
    """Of PACKET [--len N] and so on."""
    frames = []
    at = 0
    while at < len(words):
        text, size = words[at], None
        at += 1
        if text.startswith("--"):
            raise CommandError(f"syntax error at {text}")
        if at + 1 < len(words) and words[at] == "--len":
            size = digits.number(words[at + 1], LONGEST_FRAME)
            if size is None:
                raise CommandError(f"{words[at + 1]}: not a length")
            at += 2
        frame = _frame(text, size)
        if not LEAST_FRAME <= len(frame) <= LONGEST_FRAME:
            raise CommandError(f"a packet of {len(frame)} bytes")
        frames.append(frame)
    return frames


def receive(switch: "Switch", args: list[str]) -> Pieces:
    """netdev-dummy/receive NAME [--qid ID] PACKET|FLOW [--len SIZE]...

    When it returns the packets have been forwarded, translated first where that was necessary.
    """
    name, *words = args
    iface = _iface(switch, name)
    queue = 0
    if words[:1] == ["--qid"]:
        queue = digits.number(words[1], LAST_QUEUE) if len(words) > 2 else None
        if queue is None:
            raise CommandError("Invalid queue id")
        words = words[2:]
    frames = _packets(words)
    port = _bridge_of(switch, name).ofproto.port_by_name(iface.name)
    if port is None or port.odp_port is None:
        raise CommandError(f"{name} is not a port")
    if not switch.dummies.devices[name].up:
        return
    for frame in frames:
        yield from awaited(switch)
        try:
            switch.backer.dpif.port_inject(port.odp_port, frame, queue)
        except DpifStalled as error:  # it is injected when the answer comes
            switch.backer.take_error(error)
        except DpifError as error:
            raise CommandError(error.strerror) from None
        yield from _settled(switch)


def _settled(switch: "Switch") -> Pieces:
    """Have packets that came up answered, and what that causes done."""
    handled: list[int] = []

    def answer() -> None:
        handled.append(switch.backer.answer_upcalls(clock.msec()))
        switch.backer.dpif.sync()

    for _ in range(ROUNDS):
        yield from insist(switch, answer)
        if not handled[-1]:
            return


# --- state


def set_admin_state(switch: "Switch", args: list[str]) -> str:
    names, word = args[:-1], args[-1].lower()
    if word not in ("up", "down"):
        raise CommandError("Invalid Admin State")
    if names and names[0] not in switch.dummies.devices:
        raise CommandError("Unknown Dummy Interface")
    for name in names or list(switch.dummies.devices):
        bridge = _bridge_of(switch, name)
        switch.dummies.devices[name].up = word == "up"
        bridge.dummy_changed(name)
    return "OK"


def connection_state(switch: "Switch", args: list[str]) -> str:
    names = args or [name for name in sorted(switch.dummies.devices) if _linked(switch, name)]
    return "".join(f"{name}: {_connection(switch, name)}\n" for name in names)


def _linked(switch: "Switch", name: str) -> bool:
    options = _iface(switch, name).config.options
    return bool(options.get("stream") or options.get("pstream"))


def _connection(switch: "Switch", name: str) -> str:
    if name not in switch.dummies.devices or not _linked(switch, name):
        return "unknown"
    port = _bridge_of(switch, name).ofproto.port_by_name(name)
    info = dpif(switch).port_get(port.odp_port) if port is not None else None
    return info.link if info is not None and info.link else "disconnected"


def _add_address(switch: "Switch", args: list[str], kind: str) -> str:
    """`kind`: of address, as an error has it."""
    name, text = args
    if name not in switch.dummies.devices:
        raise CommandError("Unknown Dummy Interface")
    try:
        address = ipaddress.ip_interface(text)
    except ValueError:
        raise CommandError(f"{text}: invalid {kind} address") from None
    switch.dummies.devices[name].addresses.append(str(address))
    return "OK"


def add_ip4_address(switch: "Switch", args: list[str]) -> str:
    return _add_address(switch, args, "IP")


def add_ip6_address(switch: "Switch", args: list[str]) -> str:
    return _add_address(switch, args, "IPv6")


# name, usage, least and most arguments, function
COMMANDS = [
    ("netdev-dummy/conn-state", "[netdev]", 0, 1, asking(connection_state)),
    ("netdev-dummy/ip4addr", "[netdev] ipaddr/mask-prefix-len", 2, 2, add_ip4_address),
    ("netdev-dummy/ip6addr", "[netdev] ip6addr", 2, 2, add_ip6_address),
    (
        "netdev-dummy/receive",
        "name [--qid queue_id] packet|flow [--len packet_len]",
        2,
        1000,
        receive,
    ),
    ("netdev-dummy/set-admin-state", "[netdev] up|down", 1, 2, set_admin_state),
]
