"""The log modules of Open vSwitch's programs, and which of ours say what those would.

Scripts write `-vvconn` and `vlog/set dpif:dbg`.  Most of our modules have the name of the one whose
messages theirs are; what else a script may name is here: a module to be set and listed, which has
the ones of ours set that it stands for, if there are any.
"""

COUNTERPARTS = {
    "daemon_unix": ("daemon",),
    "netdev": ("netdev_linux",),
    "ofproto_dpif": ("dp_meters", "meter", "journal", "flow_log"),
    "ovsdb": ("ovsdb_server",),
    "ovsdb_log": ("ovsdb_file",),
    "storage": ("ovsdb_file",),
    "stream_fd": ("stream",),
    "stream_tcp": ("stream",),
    "stream_unix": ("stream",),
    "util": ("containment",),
    "vconn_stream": ("vconn", "stream"),
}

# Of all programs; of all but ovsdb-server (its library has them, whatever they do with it); then of
# ovs-vswitchd and of the database alone.
COMMON = """
    backtrace command_line coverage daemon daemon_unix dns_resolve entropy fatal_signal hmap
    jsonrpc lockfile memory ovs_numa ovs_rcu ovs_replay ovs_thread ovsdb_cs ovsdb_error
    ovsdb_idl pcap poll_loop process reconnect sha1 signals socket_util socket_util_unix
    stream stream_fd stream_replay stream_ssl stream_tcp stream_unix svec timeval unixctl util
    uuid vlog
"""
LIBRARY = """
    bundle conntrack conntrack_tp ct_dpif dpdk dpif dpif_lookup_autovalidator dpif_lookup_generic
    dpif_mfex_extract_study dpif_netdev dpif_netdev_extract dpif_netdev_impl dpif_netdev_lookup
    dpif_netlink dpif_netlink_rtnl flow ipf meta_flow native_tnl netdev netdev_afxdp netdev_linux
    netdev_offload netdev_offload_tc netdev_vport netlink netlink_conntrack netlink_notifier
    netlink_socket nx_match odp_execute odp_execute_impl odp_util ofp_actions ofp_bundle
    ofp_connection ofp_errors ofp_flow ofp_group ofp_match ofp_meter ofp_monitor ofp_msgs
    ofp_packet ofp_port ofp_protocol ofp_queue ofp_table ofp_util ovs_router ox_stat pmd_perf
    route_table tc userspace_tso vconn vconn_stream
"""
SWITCH = """
    bfd bond bridge bundles cfm collectors connmgr fail_open in_band ipfix lacp lldp lldpd
    lldpd_structs netdev_dummy netflow ofproto ofproto_dpif ofproto_dpif_mirror
    ofproto_dpif_monitor ofproto_dpif_rid ofproto_dpif_upcall ofproto_dpif_xlate
    ofproto_xlate_cache ovs_lldp rconn rstp rstp_sm sflow stp system_stats tunnel vswitchd
"""
DATABASE = """
    ovsdb ovsdb_file ovsdb_jsonrpc_server ovsdb_log ovsdb_monitor ovsdb_rbac ovsdb_server
    ovsdb_util raft raft_rpc relay replication storage transaction transaction_forward trigger
"""

_BY_PROGRAM = {
    "pyvs-vswitchd": COMMON + LIBRARY + SWITCH,
    "pyvs-datapath": COMMON + LIBRARY + SWITCH,
    "pyvs-ovsdb-server": COMMON + DATABASE,
    "pyvs-ovsdb-client": COMMON + LIBRARY + DATABASE,
    "pyvs-ovsdb-tool": COMMON + LIBRARY + DATABASE,
    "pyvs-ofctl": COMMON + LIBRARY + " ofctl",
}


def modules(program: str) -> list[str]:
    """The modules that Open vSwitch's counterpart of our `program` lists."""
    return _BY_PROGRAM.get(program, COMMON + LIBRARY).split()
