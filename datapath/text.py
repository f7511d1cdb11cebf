"""Ports, flows and counters of a datapath as people read them, in the layout of ovs-dpctl(8).

For pyvs-dpctl and for the dpctl/* commands of both daemons.
"""

import re
from collections.abc import Callable, Iterable, Mapping

from datapath.actions.text import odp_text
from datapath.base.clock import now_ms
from datapath.key import key_text
from datapath.netdev.tunnel import TYPES as TUNNELS
from pyvs import identity

TCP_FLAGS = "FSRP.UEC"
METER_FLAGS = ("kbps", "pktps", "burst", "stats")  # from bit 0 on


class _State:
    name: str | None = None


def datapath() -> str:
    """The name of the datapath of this process, TYPE@NAME."""
    return _State.name or identity.family().datapath


def set_datapath(name: str) -> None:
    """Give it another one."""
    _State.name = name


PortNames = Mapping[int, str] | None  # by number


def format_flags(flags: int) -> str:
    """TCP flags as letters, "." for ACK; those without a letter as a number behind them."""
    named = "".join(letter for bit, letter in enumerate(TCP_FLAGS) if flags >> bit & 1)
    return named + (f"0x{flags & 0xF00:x}" if flags & 0xF00 else "")


def _used(used: int, now: int) -> str:
    return f"{max(0, now - used) / 1000:.3f}s" if used else "never"


def format_counters(info, now: int | None = None) -> str:
    """`packets:1, bytes:42, used:0.500s, flags:S`; `now`: ms of its clock."""
    now = now_ms() if now is None else now
    text = f"packets:{info.packets}, bytes:{info.bytes}, used:{_used(info.used, now)}"
    return text + (f", flags:{format_flags(info.tcp_flags)}" if info.tcp_flags else "")


def map_words(text: str, change: Callable[[str], str]) -> str:
    """`text` with each word between commas that stands in no parentheses changed."""
    words, depth, start = [], 0, 0
    for at, char in enumerate(text + ","):
        if (char == "," and depth <= 0) or at == len(text):
            words.append(change(text[start:at].strip()))
            start = at + 1
        depth += (char == "(") - (char == ")")
    return ",".join(words)


def format_match(info, names: PortNames = None, more: bool = False) -> str:
    """A flow's match; in_port by name where `names` has it; `more`: with wildcarded fields."""
    text = _without_absent_key(key_text.format_key(info.key, info.mask, more))
    if info.framed:
        text = _with_eth(text)
    before, found, rest = text.partition("in_port(")
    number, _, rest = rest.partition(")")
    if not names or not found or not number.isdigit() or int(number) not in names:
        return text
    return f"{before}in_port({names[int(number)]}){rest}"


def _with_eth(text: str) -> str:
    """That it is a frame stands behind the metadata, as in Open vSwitch where the type of packets
    is not looked at."""
    before, found, rest = text.partition("eth_type(")
    if not found or re.search(r"\b(eth|packet_type)\(", before):
        return text
    return f"{before}eth(),{found}{rest}"


def _without_absent_key(text: str) -> str:
    """A flow of packets that came by a tunnel without a key: as Open vSwitch, nothing says so."""
    before, found, rest = text.partition("tunnel(tun_id=0x0,")
    if not found or "-key" not in rest:
        return text
    return f"{before}tunnel({rest.replace('-key', '', 1)}"


def format_actions(info, names: PortNames = None) -> str:
    """A flow's actions; outputs by name where `names` has them."""
    return format_action_list(info.actions, info.key, names)


def format_action_list(actions: bytes, key: bytes, names: PortNames = None) -> str:
    """The same of an action list for packets of this key."""
    text = odp_text.format_actions(actions, key)
    if not names:
        return text
    text = map_words(text, lambda word: _with_names(word, names))
    return _TUNNEL_PORT.sub(lambda found: f"{found[1]}{names.get(int(found[2]), found[2])})", text)


# Of the text NAME(BODY) of an action: whose BODY is a list of actions, and whose has such parts
_LISTS = ("clone", "actions", "gt", "le")
_WITH_LISTS = ("sample", "check_pkt_len")


def _with_names(word: str, names: Mapping[int, str]) -> str:
    """An action with names for the ports that it, or an action inside it, sends to."""
    if word.isdigit():
        return names.get(int(word), word)
    kind, found, rest = word.partition("(")
    if not found or kind not in (*_LISTS, *_WITH_LISTS):
        return word

    def inner(part: str) -> str:
        return _with_names(part, names) if kind in _LISTS or "(" in part else part

    return f"{kind}({map_words(rest[:-1], inner)})"


# Where actions of tunnels name datapath ports
_TUNNEL_PORT = re.compile(r"\b(tnl_pop\(|tnl_port\(|out_port\()(\d+)\)")


def format_flow(info, more: bool = False, now: int | None = None, names: PortNames = None) -> str:
    """One line for a FlowInfo; `more`: with its ufid and wildcarded fields.

    `now`: ms of its clock.
    """
    parts = [f"ufid:{format_ufid(info.ufid)}"] if more else []
    parts += [format_match(info, names, more), format_counters(info, now)]
    if more:
        parts += ["offloaded:yes", "dp:tc-bpf"] if info.offloaded else ["dp:ovs"]
    parts.append(f"actions:{format_actions(info, names)}")
    return ", ".join(parts)


def format_ufid(ufid: bytes) -> str:
    """16 bytes in the form of a UUID."""
    digits = ufid.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def parse_ufid(text: str) -> bytes:
    """The 16 bytes of what format_ufid() gives, behind "ufid:" or not; ValueError."""
    ufid = bytes.fromhex(text.removeprefix("ufid:").removeprefix("0x").replace("-", ""))
    if len(ufid) != 16:
        raise ValueError(f"{text} has not 32 hexadecimal digits")
    return ufid


def format_queues(count: int) -> str:
    """What is told of the queues of a port of type dummy-pmd."""
    queues = {"configured_rx": count, "configured_tx": 1, "requested_rx": count, "requested_tx": 1}
    return ", ".join(f"{name}_queues={n}" for name, n in queues.items())


def format_told(told: dict[str, str]) -> str:
    """Behind a port's type: what is told of its configuration."""
    texts = ", ".join(f"{name}={text}" for name, text in told.items())
    return f": {texts}" if texts else ""


def _port_type(port) -> str:
    shown = "tap" if port.type == "internal" else port.type
    if shown == "dummy-pmd":
        shown += f": {format_queues(len(port.queues))}"
    if port.type in TUNNELS:
        options = ", ".join(f"{name}={text}" for name, text in sorted(port.options.items()))
        shown += f": {options}" if options else ""
    shown += format_told(port.told)
    return "" if shown == "system" else f" ({shown})"


_STATISTICS = (
    (
        *("RX packets", "rx_packets"),
        (
            ("rx_errors", "errors"),
            ("rx_dropped", "dropped"),
            ("rx_over_err", "overruns"),
            ("rx_frame_err", "frame"),
        ),
    ),
    (
        *("TX packets", "tx_packets"),
        (
            ("tx_errors", "errors"),
            ("tx_dropped", "dropped"),
            ("tx_aborted", "aborted"),
            ("tx_carrier", "carrier"),
        ),
    ),
)


def _bytes(count: int) -> str:
    """A number of bytes, large ones also in KiB and so on."""
    value, unit = float(count), ""
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value >= 1024:
            value, unit = value / 1024, larger
    return f"{count} ({value:.1f} {unit})" if unit else str(count)


def _statistics(stats: Mapping, uncounted: bool = False) -> list[str]:
    """Lines of a port's counters.  `uncounted`: it counts no errors, as a dummy of Open vSwitch."""

    def count(name: str) -> str:
        return "?" if uncounted else str(stats.get(name, 0))

    lines = []
    for title, first, others in _STATISTICS:
        counts = " ".join(f"{short}:{count(name)}" for name, short in others)
        lines.append(f"    {title}:{stats.get(first, 0)} {counts}")
    lines.append(f"    collisions:{count('collisions')}")
    rx, tx = _bytes(stats.get("rx_bytes", 0)), _bytes(stats.get("tx_bytes", 0))
    lines.append(f"    RX bytes:{rx}  TX bytes:{tx}")
    return lines


def _port_statistics(port) -> list[str]:
    lines = _statistics(port.stats, identity.is_ovs() and port.type.startswith("dummy"))
    if port.drops and not identity.is_ovs():
        drops = " ".join(f"{name}:{count}" for name, count in sorted(port.drops.items()))
        lines.append(f"    drops: {drops}")
    return lines


def format_kernel_cache(status: Mapping) -> str:
    """What stats() tells of it: whether it is on, or why not, and which ports have no part."""
    if not status["on"]:
        return f"off ({status['reason']})"
    counts = f"flows:{status['flows']} hit:{status['hits']} refused:{status['refused']}"
    ports = [f"{name}: {reason}" for name, reason in sorted(status["ports"].items())]
    return ", ".join([f"on, {counts}", *ports])


def format_show(
    stats: dict, ports: Iterable, statistics: bool = False, name: str | None = None
) -> str:
    """dpctl/show: lookups, flows, ports; `statistics`: with each port's counters and drops.

    `name`: the datapath's, None: the switch's."""
    hits, misses = stats["hits"], stats["misses"]
    per_packet = stats["mask_hits"] / (hits + misses) if hits + misses else 0.0
    lines = [
        f"{name or datapath()}:",
        f"  lookups: hit:{hits} missed:{misses} lost:{stats['lost']}",
        f"  flows: {stats['n_flows']}",
        f"  masks: hit:{stats['mask_hits']} total:{stats['masks']} hit/pkt:{per_packet:.2f}",
    ]
    if cache := stats.get("kernel_cache"):
        lines.append(f"  kernel cache: {format_kernel_cache(cache)}")
    if identity.is_ovs():  # as Open vSwitch's userspace datapath
        del lines[3:]
        kind, _, own = (name or datapath()).partition("@")
        lines.append(f"  port 0: {own} ({'dummy-internal' if kind == 'dummy' else 'tap'})")
        lines += _statistics({}, kind == "dummy") if statistics else []
        ports = [port for port in ports if port.name != own]
    for port in ports:
        gone = ", interface is gone" if port.dead else ""
        lines.append(f"  port {port.port_no}: {port.name}{_port_type(port)}{gone}")
        if statistics:
            lines += _port_statistics(port)
    return "\n".join(lines) + "\n"


def format_counts(counts: Mapping[str, int]) -> list[str]:
    """A line for each reason of discarding packets."""
    return [f"{name:<24}{count}" for name, count in sorted(counts.items())]


def format_drops(stats: dict) -> str:
    """Every reason for which packets were discarded, with its count."""
    return "".join(f"{line}\n" for line in format_counts(stats["drops"]))


def format_meter(info) -> str:
    """A MeterInfo: what it is, what came, and a line for each band with what it dropped."""
    flags = "".join(f" {name}" for bit, name in enumerate(METER_FLAGS) if info.flags >> bit & 1)
    text = f"meter {info.meter} ({info.owner}):{flags} packets:{info.packets} bytes:{info.bytes}\n"
    for number, (rate, burst, *level) in enumerate(info.bands):
        packets, n_bytes = info.dropped[number]
        what = f"dscp_remark prec_level={level[0]}" if level else "drop"
        text += f"  {number}: {what} rate={rate} burst={burst} packets:{packets} bytes:{n_bytes}\n"
    return text


def format_workers(stats: dict) -> str:
    """Counters of each worker."""
    lines = []
    for worker in stats["workers"]:
        core = "" if worker["core"] is None else f" on core {worker['core']}"
        lines.append(f"worker {worker['id']}{core}:")
        lines += [f"  {name}: {n}" for name, n in worker.items() if name not in ("id", "core")]
    return "\n".join(lines) + "\n"
