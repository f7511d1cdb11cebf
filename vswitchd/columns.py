"""The columns of the database that vswitchd follows and writes.

READ columns are configuration: a change in one means to reconcile.  WRITTEN columns are
vswitchd's own: it writes them, reads them only to see whether they need writing, and is not
woken by their changes.  ovs-vswitchd.conf.db(5) describes each.
"""

import json
import os

import ovs.db.idl

import ovsdb

READ = {
    "Open_vSwitch": ["bridges", "next_cfg", "other_config", "external_ids"],
    "Bridge": [
        "name",
        "ports",
        "controller",
        "datapath_type",
        "fail_mode",
        "protocols",
        "other_config",
        "external_ids",
        "flood_vlans",
        "stp_enable",
        "rstp_enable",
        "mcast_snooping_enable",
        "mirrors",
        "netflow",
        "sflow",
        "ipfix",
    ],
    "Port": [
        "name",
        "interfaces",
        "tag",
        "trunks",
        "cvlans",
        "vlan_mode",
        "bond_mode",
        "lacp",
        "qos",
        "fake_bridge",
        "bond_fake_iface",
        "other_config",
        "external_ids",
    ],
    "Interface": [
        "name",
        "type",
        "options",
        "ofport_request",
        "mac",
        "mtu_request",
        "ingress_policing_rate",
        "ingress_policing_kpkts_rate",
        "other_config",
        "external_ids",
    ],
    "Controller": [
        "target",
        "max_backoff",
        "inactivity_probe",
        "connection_mode",
        "enable_async_messages",
        "controller_rate_limit",
        "controller_burst_limit",
        "controller_queue_size",
        "other_config",
    ],
    # Only to see that they are used.
    "QoS": ["type"],
    "Mirror": ["name"],
    "NetFlow": ["targets"],
    "sFlow": ["targets"],
    "IPFIX": ["targets"],
}

WRITTEN = {
    "Open_vSwitch": [
        "cur_cfg",
        "ovs_version",
        "db_version",
        "system_type",
        "system_version",
        "datapath_types",
        "iface_types",
        "dpdk_initialized",
        "statistics",
    ],
    "Bridge": ["datapath_id", "datapath_version", "status"],
    "Port": ["status", "statistics"],
    "Interface": [
        "ofport",
        "error",
        "mac_in_use",
        "ifindex",
        "mtu",
        "admin_state",
        "link_state",
        "link_speed",
        "link_resets",
        "duplex",
        "statistics",
        "status",
    ],
    "Controller": ["is_connected", "role", "status"],
}

LOCK = "ovs_vswitchd"


# The Open_vSwitch schema that is installed with the database server.
with open(os.path.join(os.path.dirname(ovsdb.__file__), "vswitch.ovsschema")) as _file:
    _SCHEMA = json.load(_file)

SCHEMA_VERSION: str = _SCHEMA["version"]


def make_idl(remote: str) -> ovs.db.idl.Idl:
    """A replica of the configuration at `remote`, that asks for vswitchd's lock."""
    helper = ovs.db.idl.SchemaHelper(schema_json=_SCHEMA)
    for table in READ:
        helper.register_columns(table, READ[table] + WRITTEN.get(table, []))
    idl = ovs.db.idl.Idl(remote, helper)
    for table, names in WRITTEN.items():
        for name in names:
            idl.tables[table].columns[name].alert = False
    idl.set_lock(LOCK)
    return idl
