"""Rows of the Datapath table: the zones of tracked connections that they configure, and what is
written into them of what the datapath can do (ovs-vswitchd.conf.db(5)).

There is one datapath here, whatever type of it a bridge asks for; rows of all types that there may
be are of that one.
"""

from typing import Any, NamedTuple
from uuid import UUID

TYPES = ("dummy", "netdev", "system")

CAPABILITIES = {
    **dict.fromkeys(
        (
            *("add_mpls", "check_pkt_len", "clone", "ct_clear", "ct_flush", "ct_label", "ct_mark"),
            *("ct_orig_tuple", "ct_orig_tuple6", "ct_state", "ct_state_nat", "ct_timeout"),
            *("ct_zero_snat", "ct_zone", "explicit_drop_action", "masked_set_action", "nd_ext"),
            *("lb_output_action", "recirc", "sample_nesting", "trunc", "ufid"),
        ),
        "true",
    ),
    **dict.fromkeys(("ct_eventmask", "tnl_push_pop"), "false"),
    "max_hash_alg": "1",
    "max_mpls_depth": "3",
    "max_vlan_headers": "2",
}


class DatapathRow(NamedTuple):
    uuid: UUID
    zones: dict[int, dict[str, int]]  # those with a timeout policy


def datapath_rows(switch: Any) -> dict[str, DatapathRow]:
    """By type, from the replica's Open_vSwitch row."""
    return {
        name: DatapathRow(row.uuid, _zones(row))
        for name, row in switch.datapaths.items()
        if name in TYPES
    }


def _zones(row: Any) -> dict[int, dict[str, int]]:
    return {
        number: dict(zone.timeout_policy[0].timeouts)
        for number, zone in row.ct_zones.items()
        if zone.timeout_policy
    }


def all_zones(rows: dict[str, DatapathRow]) -> dict[int, dict[str, int]]:
    zones: dict[int, dict[str, int]] = {}
    for _, row in sorted(rows.items()):
        zones.update(row.zones)
    return zones
