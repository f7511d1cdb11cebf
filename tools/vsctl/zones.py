"""The commands of vsctl for conntrack zones, datapaths and auto-attach.

Syntax, effects and messages: ovs-vsctl(8).
"""

from pyvs import digits
from pyvs_tools.command import Fatal

from .context import Spec
from .switch import (
    GRAPH,
    find_real_bridge,
)

# Conntrack zones and datapaths


def _datapath(context, name, message):
    context.root.verify("datapaths")
    uuid = context.root.get("datapaths").get(name)
    row = context.snapshot.rows.get("Datapath", {}).get(uuid)
    if row is None:
        raise Fatal(message)
    return row


def _zone_id(text):
    word, _, value = text.rpartition("=")
    zone = digits.number(value)
    if word not in ("", "zone") or zone is None:
        raise Fatal(f'"{text}" is not "zone=ID"')
    return zone


def run_add_zone_tp(context, command):
    name, zone_text, *policies = command.args
    row = _datapath(context, name, f"datapath {name} does not exist")
    zone = _zone_id(zone_text)
    zone_row = context.snapshot.rows["CT_Zone"].get(row.get("ct_zones").get(zone))
    if zone_row is not None and "may-exist" not in command.options:
        raise Fatal(f"zone id {zone} already exists")
    policy_row = context.snapshot.insert("CT_Timeout_Policy")
    policy_row.set("timeouts", _timeouts(policies))
    if zone_row is None:
        zone_row = context.snapshot.insert("CT_Zone")
        row.insert_into("ct_zones", {zone: zone_row.uuid})
    zone_row.set("timeout_policy", [policy_row.uuid])


def _timeouts(policies):
    """{name: seconds} of KEY=SECONDS words."""
    timeouts = {}
    for policy in policies:
        key, _, value = policy.partition("=")
        seconds = digits.number(value)
        if not key or seconds is None:
            raise Fatal(f'"{policy}" is not a timeout policy (KEY=SECONDS)')
        timeouts[key] = seconds
    return timeouts


def run_del_zone_tp(context, command):
    name, zone_text = command.args
    row = _datapath(context, name, f"datapath {name} does not exist")
    zone = _zone_id(zone_text)
    if zone not in row.get("ct_zones"):
        if "if-exists" not in command.options:
            raise Fatal(f"zone id {zone} does not exist")
        return
    row.remove_from("ct_zones", [zone])


def run_list_zone_tp(context, command):
    name = command.args[0]
    row = _datapath(context, name, f"datapath: {name} record not found")
    rows = context.snapshot.rows
    zones = row.get("ct_zones")
    for zone in sorted(zones):
        policy = rows["CT_Zone"][zones[zone]].one("timeout_policy")
        timeouts = rows["CT_Timeout_Policy"][policy].get("timeouts") if policy else {}
        listed = "".join(f" {key}={timeouts[key]}" for key in sorted(timeouts))
        command.print(f"Zone:{zone}, Timeout Policies:{listed or ' system default'}")


def run_list_dp_cap(context, command):
    name = command.args[0]
    row = _datapath(context, name, f'datapath "{name}" record not found')
    capabilities = row.get("capabilities")
    if not capabilities:
        command.print("")
    for key in sorted(capabilities):
        command.print(f"{key}={capabilities[key]}")


# Auto-attach


def _aa_numbers(command):
    try:
        isid, vlan = (int(word) for word in command.args[1:])
    except ValueError:
        raise Fatal(f"{command.name}: I-SID and VLAN must be numbers") from None
    return isid, vlan


def _auto_attach(context, command, create=False):
    bridge = find_real_bridge(context, command.args[0])
    uuid = bridge.row.one("auto_attach")
    row = context.snapshot.rows["AutoAttach"].get(uuid)
    if row is None and create:
        row = context.snapshot.insert("AutoAttach")
        bridge.row.verify("auto_attach")
        bridge.row.set("auto_attach", [row.uuid])
    return row


def run_add_aa_mapping(context, command):
    isid, vlan = _aa_numbers(command)
    row = _auto_attach(context, command, create=True)
    row.insert_into("mappings", {isid: vlan})


def run_del_aa_mapping(context, command):
    isid, vlan = _aa_numbers(command)
    row = _auto_attach(context, command)
    if row is not None:
        row.remove_from("mappings", {isid: vlan})


def run_get_aa_mapping(context, command):
    row = _auto_attach(context, command)
    if row is not None:
        mappings = row.get("mappings")
        for isid in sorted(mappings):
            command.print(f"{isid} {mappings[isid]}")


# The table of commands

_AUTO_ATTACH = {
    **GRAPH,
    "Bridge": ("name", "ports", "auto_attach"),
    "AutoAttach": ("mappings",),
}
_DATAPATH = {
    "Open_vSwitch": ("datapaths",),
    "Datapath": ("ct_zones", "capabilities"),
    "CT_Zone": ("timeout_policy",),
    "CT_Timeout_Policy": ("timeouts",),
}

COMMANDS = {
    "add-zone-tp": Spec(3, None, "", _DATAPATH, run_add_zone_tp, options="may-exist", writes=True),
    "del-zone-tp": Spec(2, 2, "", _DATAPATH, run_del_zone_tp, options="if-exists", writes=True),
    "list-zone-tp": Spec(1, 1, "", _DATAPATH, run_list_zone_tp),
    "list-dp-cap": Spec(1, 1, "", _DATAPATH, run_list_dp_cap),
    "add-aa-mapping": Spec(
        3, 3, "!BRIDGE !ARG !ARG", _AUTO_ATTACH, run_add_aa_mapping, writes=True
    ),
    "del-aa-mapping": Spec(
        3, 3, "!BRIDGE !ARG !ARG", _AUTO_ATTACH, run_del_aa_mapping, writes=True
    ),
    "get-aa-mapping": Spec(1, 1, "!BRIDGE", _AUTO_ATTACH, run_get_aa_mapping),
}
