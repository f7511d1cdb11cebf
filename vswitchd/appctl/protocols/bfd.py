"""bfd/*: the sessions of all bridges, as ovs-vswitchd(8) has them."""

from typing import TYPE_CHECKING

from ofproto.protocols.bfd import FLAGS, STATES, Session
from pyvs import clock
from vswitchd.appctl.protocols.sessions import find, parse_override
from vswitchd.protocols.bfd import diagnostic

if TYPE_CHECKING:
    from vswitchd.switch import Switch

NONE = "no such bfd object"


def show(switch: "Switch", args: list[str]) -> str:
    now = clock.msec()
    found = find(switch, "bfd", args[0] if args else None, NONE)
    heads = {name: "" if args else f"---- {name} ----\n" for name, _ in found}
    return "".join(heads[name] + _shown(each.sessions[name], now) for name, each in found)


def _shown(session: Session, now: int) -> str:
    remote = session.remote
    lines = [
        f"  Forwarding: {_word(session.is_forwarding(now))}",
        f"  Detect Multiplier: {session.settings.mult}",
        f"  Concatenated Path Down: {_word(session.settings.path_down)}",
        f"  TX Interval: Approx {session.tx_interval}ms",
        f"  RX Interval: Approx {session.rx_interval}ms",
        f"  Detect Time: now {session.detect_at - now:+d}ms",
        f"  Next TX Time: now {session.next_send - now:+d}ms",
        f"  Last TX Time: now {session.last_sent - now:+d}ms",
        "",
        f"  Local Flags: {_flags(session.flags)}",
        f"  Local Session State: {STATES[session.state]}",
        f"  Local Diagnostic: {diagnostic(session.diagnostic)}",
        f"  Local Discriminator: {session.discriminator:#x}",
        f"  Local Minimum TX Interval: {session.min_tx}ms",
        f"  Local Minimum RX Interval: {session.min_rx}ms",
        "",
        f"  Remote Flags: {_flags(remote.flags)}",
        f"  Remote Session State: {STATES[remote.state]}",
        f"  Remote Diagnostic: {diagnostic(remote.diagnostic)}",
        f"  Remote Discriminator: {remote.discriminator:#x}",
        f"  Remote Minimum TX Interval: {remote.min_tx}ms",
        f"  Remote Minimum RX Interval: {remote.min_rx}ms",
        f"  Remote Detect Multiplier: {remote.mult}",
    ]
    return "\n".join(lines) + "\n"


def _word(value: bool) -> str:
    return "true" if value else "false"


def _flags(flags: int) -> str:
    return " ".join(name for name, bit in FLAGS.items() if flags & bit) or "none"


def set_forwarding(switch: "Switch", args: list[str]) -> str:
    forwarding = parse_override(args[-1])
    found = find(switch, "bfd", args[0] if len(args) > 1 else None, NONE.replace("bfd", "BFD"))
    for name, protocol in found:
        protocol.sessions[name].set_override(forwarding, clock.msec())
        protocol.follow(name, clock.msec())
    return "OK"


COMMANDS = [
    ("bfd/show", "[interface]", 0, 1, show),
    ("bfd/set-forwarding", "[interface] normal|false|true", 1, 2, set_forwarding),
]
