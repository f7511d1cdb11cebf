"""What of the database pyvs does not follow yet: the one list of it.

pyvs-vsctl prints a warning when a command sets such a column, vswitchd logs one, and
docs/not-followed.md is made of it (`python -m vswitchd.database.not_followed`).  Whoever makes a
column work takes its line out.  pyvs-vsctl imports this with each run: it imports nothing.
"""

# Table -> column, or map column:key -> the values that ask for nothing which is not there.
COLUMNS = {
    "Open_vSwitch": {
        "other_config:dpdk-alloc-mem": (),
        "other_config:dpdk-extra": (),
        "other_config:dpdk-hugepage-dir": (),
        "other_config:dpdk-init": ("false",),
        "other_config:dpdk-lcore-mask": (),
        "other_config:dpdk-socket-limit": (),
        "other_config:dpdk-socket-mem": (),
        "other_config:hw-offload": ("false",),
        "other_config:ipsec_skb_mark": (),
        "other_config:min-revalidate-pps": (),
        "other_config:n-handler-threads": (),
        "other_config:n-offload-threads": (),
        "other_config:n-revalidator-threads": (),
        "other_config:pmd-maxsleep": ("0",),
        "other_config:pmd-perf-metrics": ("false",),
        "other_config:pmd-sleep-max": ("0",),
        "other_config:offload-rebalance": ("false",),
        "other_config:per-port-memory": ("false",),
        "other_config:shared-mempool-config": (),
        "other_config:tc-policy": ("none",),
        "other_config:tx-flush-interval": ("0",),
        "other_config:userspace-tso-enable": ("false",),
        "other_config:vhost-iommu-support": ("false",),
        "other_config:vhost-postcopy-support": ("false",),
        "other_config:vhost-sock-dir": (),
    },
    "Bridge": {
        "datapath_type": ("dummy", "netdev", "system"),
        "other_config:controller-queue-size": (),
    },
    "Port": {
        "bond_fake_iface": (),
    },
    "Interface": {
        "other_config:emc-enable": ("true",),
        "other_config:tx-steering": ("thread",),
        **dict.fromkeys(("options:dpdk-devargs", "options:dpdk-vf-mac"), ()),
        "options:dpdk-lsc-interrupt": ("false",),
        "options:n_txq_desc": (),
        "options:vhost-server-path": (),
        "options:tx-retries-max": (),
        **dict.fromkeys(("options:rx-flow-ctrl", "options:tx-flow-ctrl"), ("false",)),
        "options:flow-ctrl-autoneg": ("false",),
    },
    "QoS": {
        "type": (
            *("linux-htb", "linux-hfsc", "linux-sfq", "linux-codel", "linux-fq_codel"),
            *("linux-netem", "linux-noop", "egress-policer"),
        ),
    },
    "Flow_Table": {
        "prefixes": ("none", "nw_src", "nw_dst", "ip_src", "ip_dst", "ipv6_src", "ipv6_dst"),
    },
}

# Of these, what changes only how fast things are, not what happens; and bond_fake_iface, for which
# Open vSwitch 3.1 makes no interface either where its datapath is that of userspace.
HARMLESS = (
    "bond_fake_iface",
    "other_config:emc-enable",
    "other_config:min-revalidate-pps",
    "other_config:n-handler-threads",
    "other_config:n-offload-threads",
    "other_config:n-revalidator-threads",
    "other_config:pmd-maxsleep",
    "other_config:pmd-perf-metrics",
    "other_config:pmd-sleep-max",
    "other_config:tx-flush-interval",
    "other_config:tx-steering",
)

# Tables whose rows are of use only where one of these columns refers to them.
TABLES: tuple = ()

DOCUMENT = """\
# What of the database is not followed yet

Made by `python -m vswitchd.database.not_followed`. These columns can be set, and kept, but
nothing happens: `pyvs-vsctl` and vswitchd's log say so.

| table | column | of use all the same |
|---|---|---|
"""

COMMANDS = """\
Of the commands of ovs-appctl(8) and ovs-dpctl(8), `dpif-netdev/pmd-perf-log-set`,
`dpif-dummy/change-port-number`, `dpctl/cache-set-size` and `dpctl/offload-stats-show` say that they
are not supported, and `dpif/set-dp-features` says so of the features that cannot be set aside.
"""


def plain_columns(table):
    """The columns of a table that the list names, without keys."""
    return list(dict.fromkeys(name.partition(":")[0] for name in COLUMNS.get(table, ())))


def asked(table, get):
    """What a row asks for in vain, as text: "COLUMN" or "COLUMN VALUE".

    `get(column)` gives the value: a set or one atom, or a dictionary; None when it is not known.
    """
    found = []
    for name, fine in COLUMNS.get(table, {}).items():
        column, _, key = name.partition(":")
        value = get(column)
        if key:
            value = (value or {}).get(key)
        vain = [each for each in _atoms(value) if each not in fine]
        if vain:
            found.append(f"{name} {','.join(map(str, vain))}" if fine else name)
    return found


def is_harmless(text):
    """Whether nobody need be warned of what asked() gave."""
    return text.partition(" ")[0] in HARMLESS


def _atoms(value):
    """What was set: nothing, where it is a default."""
    atoms = [*value] if isinstance(value, list | tuple | set | dict) else [value]
    return [each for each in atoms if each]


def document():
    """The text of docs/not-followed.md."""
    rows = "".join(
        f"| {table} | {name} | {', '.join(fine)} |\n"
        for table, columns in COLUMNS.items()
        for name, fine in columns.items()
    )
    return f"{DOCUMENT}{rows}\n{COMMANDS}"


if __name__ == "__main__":
    print(document(), end="")
