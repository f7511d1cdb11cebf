"""The columns of the database that vswitchd follows and writes, and the replica of them.

READ columns are configuration: a change in one means to reconcile; those of not_followed are
read to tell so.  WRITTEN columns are
vswitchd's own: it writes them, and reads them only to see whether they need writing.
ovs-vswitchd.conf.db(5) describes each.
"""

import json
import os
from typing import Any
from uuid import UUID

import ovs.db.idl

import ovsdb
from vswitchd.database import fast_jsonrpc, not_followed

_FOLLOWED = {
    "Open_vSwitch": [
        *("bridges", "next_cfg", "other_config", "external_ids", "ssl", "datapaths"),
        "manager_options",
    ],
    "Manager": ["target"],
    "SSL": ["private_key", "certificate", "ca_cert", "bootstrap_ca_cert"],
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
        "mcast_snooping_enable",
        "flow_tables",
        "mirrors",
        "ipfix",
        "sflow",
        "netflow",
        "rstp_enable",
        "stp_enable",
        "auto_attach",
    ],
    "Flow_Table": ["name", "flow_limit", "overflow_policy", "groups", "prefixes"],
    "IPFIX": [
        *("targets", "sampling", "obs_domain_id", "obs_point_id", "cache_active_timeout"),
        *("cache_max_flows", "other_config"),
    ],
    "Flow_Sample_Collector_Set": ["id", "bridge", "ipfix"],
    "sFlow": ["targets", "agent", "header", "sampling", "polling"],
    "Mirror": [
        *("name", "select_all", "select_src_port", "select_dst_port", "select_vlan"),
        *("output_port", "output_vlan", "snaplen"),
    ],
    "Port": [
        "name",
        "interfaces",
        "tag",
        "trunks",
        "cvlans",
        "vlan_mode",
        "bond_mode",
        "bond_updelay",
        "bond_downdelay",
        "lacp",
        "mac",
        "protected",
        "fake_bridge",
        "qos",
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
        "bfd",
        "lldp",
        "cfm_mpid",
        *("ingress_policing_rate", "ingress_policing_burst"),
        *("ingress_policing_kpkts_rate", "ingress_policing_kpkts_burst"),
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
        "type",
        *("local_ip", "local_netmask", "local_gateway"),
        "other_config",
    ],
    "Datapath": ["datapath_version", "ct_zones"],
    "CT_Zone": ["timeout_policy"],
    "CT_Timeout_Policy": ["timeouts"],
    "NetFlow": ["targets", "engine_id", "engine_type", "active_timeout", "add_id_to_interface"],
    "AutoAttach": ["system_name", "system_description", "mappings"],
    "QoS": ["type", "other_config", "queues"],
    "Queue": ["dscp", "other_config"],
}

READ = {
    table: list(dict.fromkeys([*columns, *not_followed.plain_columns(table)]))
    for table, columns in _FOLLOWED.items()
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
        "dpdk_version",
        "statistics",
    ],
    "Bridge": ["datapath_id", "datapath_version", "status", "rstp_status"],
    "Port": ["status", "statistics", "bond_active_slave", "rstp_status", "rstp_statistics"],
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
        "bfd_status",
        "cfm_fault",
        "cfm_fault_status",
        "cfm_flap_count",
        "cfm_health",
        "cfm_remote_mpids",
        "cfm_remote_opstate",
        "lacp_current",
        "statistics",
        "status",
    ],
    "Controller": ["is_connected", "role", "status"],
    "Datapath": ["capabilities"],
    "Mirror": ["statistics"],
}

_READ = {table: frozenset(names) for table, names in READ.items()}

LOCK = "ovs_vswitchd"


# The Open_vSwitch schema that is installed with the database server.
with open(os.path.join(os.path.dirname(ovsdb.__file__), "vswitch.ovsschema")) as _file:
    _SCHEMA = json.load(_file)

SCHEMA_VERSION: str = _SCHEMA["version"]


class Replica(ovs.db.idl.Idl):
    """The IDL, which also says which rows changed, so that nobody has to read all of them.

    Who has looked at a set empties it.  Keys are (table, UUID).

    - `config_changed`: rows whose READ columns changed, and which of them (None: all, as the
      row came or went).
    - `status_changed`: rows whose WRITTEN columns somebody wrote; rows that came, too.

    When the server sends everything anew, every row comes, and none is said to go: the rows
    are other objects then.
    """

    def __init__(self, remote: str, helper: ovs.db.idl.SchemaHelper):
        self.config_changed: dict[tuple[str, UUID], set[str] | None] = {}
        self.status_changed: set[tuple[str, UUID]] = set()
        super().__init__(remote, helper)

    def notify(self, event: str, row: Any, updates: Any = None) -> None:
        """Called by the IDL for each row; `updates` has the old values of what changed."""
        table = row._table.name
        key = (table, row.uuid)
        if updates is None:
            self.config_changed[key] = None
            self.status_changed.add(key)
            return
        changed = updates._data
        read = [name for name in changed if name in _READ[table]]
        if read:
            known = self.config_changed.setdefault(key, set())
            if known is not None:
                known.update(read)
        if len(read) < len(changed):
            self.status_changed.add(key)


def make_idl(remote: str) -> Replica:
    """A replica of the configuration at `remote`, that asks for vswitchd's lock.

    Of a cluster, `remote` names all members; the leader is the one to be connected to, as each
    member has locks of its own.
    """
    fast_jsonrpc.install()
    helper = ovs.db.idl.SchemaHelper(schema_json=_SCHEMA)
    for table in READ:
        helper.register_columns(table, READ[table] + WRITTEN.get(table, []))
    idl = Replica(remote, helper)
    for table, names in WRITTEN.items():
        for name in names:
            idl.tables[table].columns[name].alert = False
    idl.set_lock(LOCK)
    return idl
