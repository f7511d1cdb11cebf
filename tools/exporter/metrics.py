"""What was read as metrics, with the names that exporters of Open vSwitch have.

A function for each group yields (metric, labels, value); METRICS says what the metrics are.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from pyvs.version import VERSION
from pyvs_tools.exporter.reads import Seen, listed, numbers

Samples = Iterator[tuple[str, dict[str, str], float]]

_STATES = {"up": 1, "down": 0}
_INTERFACE = ("bridge", "port", "name")
_COUNTED = {
    "receive_packets": "rx_packets", "receive_bytes": "rx_bytes", "receive_errors": "rx_errors",
    "receive_dropped": "rx_dropped", "transmit_packets": "tx_packets",
    "transmit_bytes": "tx_bytes", "transmit_errors": "tx_errors",
    "transmit_dropped": "tx_dropped", "collisions": "collisions",
}  # fmt: skip
_KNOWN = {
    "admin_state": "whether it is to be up", "link_state": "whether its carrier is there",
    "mtu": "bytes of a packet at most", "link_speed": "bit/s", "of_port": "OpenFlow number",
    "link_resets": "changes of the carrier",
}  # fmt: skip
_PMD = ("emc hits", "smc hits", "megaflow hits", "miss with success upcall",
        "miss with failed upcall")  # fmt: skip

GAUGE, COUNTER = GaugeMetricFamily, CounterMetricFamily
# Name -> kind, help, labels.
METRICS: dict[str, tuple[Any, str, tuple[str, ...]]] = {
    "ovs_up": (GAUGE, "Whether vswitchd and the database answer", ()),
    "ovs_info": (
        *(GAUGE, "The switch, always 1"),
        ("system_id", "system_type", "system_version", "ovs_version", "db_version"),
    ),
    "ovs_build_info": (GAUGE, "pyvs, always 1", ("version",)),
    "ovs_bridge_ports": (GAUGE, "Ports of a bridge", ("bridge",)),
    "ovs_controller_connected": (
        *(GAUGE, "Whether a controller is connected"),
        ("bridge", "target", "role"),
    ),
    **{
        f"ovs_interface_{name}": (COUNTER, f"{key} of an interface", _INTERFACE)
        for name, key in _COUNTED.items()
    },
    **{
        f"ovs_interface_{name}": (GAUGE, f"Of an interface: {text}", _INTERFACE)
        for name, text in _KNOWN.items()
    },
    "ovs_dp_lookups_hit": (COUNTER, "Packets of known flows", ("datapath",)),
    "ovs_dp_lookups_missed": (COUNTER, "Packets of unknown flows", ("datapath",)),
    "ovs_dp_lookups_lost": (COUNTER, "Packets that found no place on the way up", ("datapath",)),
    "ovs_dp_flows": (GAUGE, "Megaflows", ("datapath",)),
    "ovs_dp_masks": (GAUGE, "Masks of megaflows", ("datapath",)),
    "ovs_dp_masks_hit": (COUNTER, "Masks that were looked at", ("datapath",)),
    "ovs_pmd_cache": (COUNTER, "Where lookups ended, by worker", ("worker", "result")),
    "ovs_upcalls": (COUNTER, "What upcalls came to", ("event",)),
    "ovs_drops": (COUNTER, "Packets discarded", ("reason",)),
    "ovs_coverage": (COUNTER, "Events in vswitchd", ("event",)),
    "ovs_memory_usage": (GAUGE, "What memory/show counts", ("facility",)),
    "ovs_conntrack_connections": (GAUGE, "Connections", ("protocol",)),
    "ovs_bond_member_enabled": (GAUGE, "Whether a member carries", ("bond", "member")),
}


def _switch(seen: Seen) -> Samples:
    yield "ovs_up", {}, float(bool(seen.tables and seen.texts))
    yield "ovs_build_info", {"version": VERSION}, 1
    for row in seen.tables.get("Open_vSwitch", ()):
        labels = {
            name: str(row[name] or "")
            for name in ("system_type", "system_version", "ovs_version", "db_version")
        }
        yield "ovs_info", {"system_id": row["external_ids"].get("system-id", ""), **labels}, 1


def _bridges(seen: Seen) -> Samples:
    controllers = {row["_uuid"]: row for row in seen.tables.get("Controller", ())}
    for bridge in seen.tables.get("Bridge", ()):
        name = bridge["name"]
        yield "ovs_bridge_ports", {"bridge": name}, len(listed(bridge["ports"]))
        for uuid in listed(bridge["controller"]):
            row = controllers.get(uuid)
            if row is not None:
                labels = {"bridge": name, "target": row["target"], "role": str(row["role"] or "")}
                yield "ovs_controller_connected", labels, row["is_connected"]


def _interfaces(seen: Seen) -> Samples:
    bridges = {
        uuid: row["name"] for row in seen.tables.get("Bridge", ()) for uuid in listed(row["ports"])
    }
    ports = {
        uuid: (bridges.get(row["_uuid"], ""), row["name"])
        for row in seen.tables.get("Port", ())
        for uuid in listed(row["interfaces"])
    }
    for row in seen.tables.get("Interface", ()):
        bridge, port = ports.get(row["_uuid"], ("", ""))
        labels = {"bridge": bridge, "port": port, "name": row["name"]}
        for name, key in _COUNTED.items():
            if key in row["statistics"]:
                yield f"ovs_interface_{name}", labels, row["statistics"][key]
        for name in _KNOWN:
            value = row["ofport" if name == "of_port" else name]
            value = _STATES.get(value, value) if isinstance(value, str) else value
            if not isinstance(value, list):
                yield f"ovs_interface_{name}", labels, value


def _datapath(seen: Seen) -> Samples:
    text = seen.texts.get("dpctl/show", "")
    for name, part in re.findall(r"^(\S+):\n((?:  .*\n?)*)", text, re.M):
        labels = {"datapath": name}
        for key in ("hit", "missed", "lost"):
            found = re.search(rf"lookups:.*\b{key}:(\d+)", part)
            if found:
                yield f"ovs_dp_lookups_{key}", labels, float(found[1])
        for metric, pattern in (
            ("ovs_dp_flows", r"^  flows: (\d+)"), ("ovs_dp_masks", r"masks:.*total:(\d+)"),
            ("ovs_dp_masks_hit", r"masks: hit:(\d+)"),
        ):  # fmt: skip
            found = re.search(pattern, part, re.M)
            if found:
                yield metric, labels, float(found[1])


def _workers(seen: Seen) -> Samples:
    text = seen.texts.get("dpif-netdev/pmd-stats-show", "")
    for worker, part in re.findall(r"^(\S.*):\n((?:  .*\n?)*)", text, re.M):
        found = numbers(part)
        for result in _PMD:
            if result in found:
                labels = {"worker": worker, "result": result.replace(" ", "_")}
                yield "ovs_pmd_cache", labels, found[result]


def _upcalls(seen: Seen) -> Samples:
    wanted = (
        r"^  (upcalls|misses|installed|packet_ins|xlate_errors|flow_limit_hit|ring_full): (\d+)"
    )
    for event, count in re.findall(wanted, seen.texts.get("upcall/show", ""), re.M):
        yield "ovs_upcalls", {"event": event}, float(count)


def _drops(seen: Seen) -> Samples:
    """Of all ports: what comes before the first port's own."""
    text = seen.texts.get("dpctl/drops", "")
    for reason, count in re.findall(r"^(\w+) +(\d+)$", text, re.M):
        yield "ovs_drops", {"reason": reason}, float(count)


def _events(seen: Seen) -> Samples:
    text = seen.texts.get("coverage/show", "")
    for event, count in re.findall(r"^(\w+) .*total: (\d+)", text, re.M):
        yield "ovs_coverage", {"event": event}, float(count)
    for facility, count in numbers(seen.texts.get("memory/show", "")).items():
        yield "ovs_memory_usage", {"facility": facility}, count


def _connections(seen: Seen) -> Samples:
    for protocol, count in numbers(seen.texts.get("dpctl/ct-stats-show", "")).items():
        yield "ovs_conntrack_connections", {"protocol": protocol.lower()}, count


def _bonds(seen: Seen) -> Samples:
    bond = ""
    for line in seen.texts.get("bond/show", "").splitlines():
        title = re.match(r"---- (.*) ----", line)
        bond = title[1] if title else bond
        member = re.match(r"member (.*): (enabled|disabled)", line)
        if member:
            labels = {"bond": bond, "member": member[1]}
            yield "ovs_bond_member_enabled", labels, float(member[2] == "enabled")


GROUPS: tuple[Callable[[Seen], Samples], ...] = (
    _switch, _bridges, _interfaces, _datapath, _workers, _upcalls, _drops, _events, _connections,
    _bonds,
)  # fmt: skip


def families(seen: Seen) -> Iterator[Metric]:
    """For prometheus_client: those that have a value."""
    made: dict[str, Metric] = {}
    for group in GROUPS:
        for name, labels, value in group(seen):
            kind, text, keys = METRICS[name]
            family = made.get(name)
            if family is None:
                family = made[name] = kind(name, text, labels=keys)
            family.add_metric([labels.get(key, "") for key in keys], float(value))
    yield from made.values()
