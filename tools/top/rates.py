"""What two looks at a switch say together: rates of ports, workers' upcalls, drops and flows."""

import re
from typing import Any, NamedTuple

from pyvs_tools.exporter.metrics import families
from pyvs_tools.exporter.reads import Seen

COMMANDS = (
    "dpctl/show -s", "dpif-netdev/pmd-stats-show", "upcall/show", "dpctl/drops", "dpctl/dump-flows",
)  # fmt: skip
MOST_FLOWS = 20

_FLOW = re.compile(r"(?P<flow>.*), packets:(?P<packets>\d+), bytes:(?P<bytes>\d+), .*?"
                   r"actions:(?P<actions>.*)")  # fmt: skip
_PORT = re.compile(
    r"^  port \d+: (\S+).*\n    RX packets:(\d+) .*dropped:(\d+).*\n    TX packets:(\d+) "
    r".*dropped:(\d+).*\n.*\n    RX bytes:(\d+).*  TX bytes:(\d+)",
    re.M,
)


class Look(NamedTuple):
    """Counters as of `at`, in s: of ports by names, of flows by their text, of everything else."""

    at: float
    is_up: bool
    ports: dict[str, dict[str, int]]
    flows: dict[str, tuple[int, int, str]]  # packets, bytes, actions
    counts: dict[str, float]


def look(seen: Seen, at: float) -> Look:
    ports = {}
    names = ("rx_packets", "rx_dropped", "tx_packets", "tx_dropped", "rx_bytes", "tx_bytes")
    for name, *counted in _PORT.findall(seen.texts.get("dpctl/show", "")):
        ports[name] = dict(zip(names, map(int, counted), strict=True))
    flows = {}
    for line in seen.texts.get("dpctl/dump-flows", "").splitlines():
        found = _FLOW.match(line)
        if found:
            flows[found["flow"]] = int(found["packets"]), int(found["bytes"]), found["actions"]
    counts = {}
    for family in families(Seen({}, seen.texts)):
        for sample in family.samples:
            words = [value for key, value in sample.labels.items() if key != "datapath"]
            counts[" ".join([sample.name.removeprefix("ovs_"), *words])] = sample.value
    return Look(at, bool(seen.texts), ports, flows, counts)


def _rate(now: float, before: float | None, seconds: float) -> float:
    """Per second; what counts anew, since a process is another, is no rate."""
    if before is None or now < before or seconds <= 0:
        return 0.0
    return round((now - before) / seconds, 1)


def report(now: Look, before: Look | None) -> dict[str, Any]:
    """What is shown, and what -f json prints: rates per second."""
    seconds = now.at - before.at if before is not None else 0.0
    ports = []
    for name, counted in sorted(now.ports.items()):
        known = before.ports.get(name, {}) if before is not None else {}
        rates = {key: _rate(value, known.get(key), seconds) for key, value in counted.items()}
        ports.append({"name": name, "rates": rates, "totals": counted})
    flows = []
    for text, (packets, octets, actions) in now.flows.items():
        known = before.flows.get(text) if before is not None else None
        rate = _rate(packets, known and known[0], seconds)
        bits = 8 * _rate(octets, known and known[1], seconds)
        flows.append({"flow": text, "actions": actions, "packets": packets, "bytes": octets,
                      "packet_rate": rate, "bit_rate": bits})  # fmt: skip
    flows.sort(key=lambda each: (-each["bit_rate"], -each["packets"]))
    counts = {
        name: {
            "total": value,
            "rate": _rate(value, before and before.counts.get(name), seconds),
        }
        for name, value in sorted(now.counts.items())
    }
    return {
        "up": now.is_up,
        "seconds": round(seconds, 3),
        "ports": ports,
        "flows": flows[:MOST_FLOWS],
        "counters": counts,
    }
