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
    },
    "Port": {
        "bond_fake_iface": (),
    },
    "Interface": {
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
        "prefixes": (
            *("none", "nw_src", "nw_dst", "ip_src", "ip_dst", "ipv6_src", "ipv6_dst"),
            *("tun_id", "tun_src", "tun_dst", "tun_ipv6_src", "tun_ipv6_dst"),
        ),
    },
}

# Of these, what is neither DPDK's nor of hardware offload, and why there is nothing to follow.
REASONS = {
    "bond_fake_iface": "Open vSwitch 3.1 makes no interface either where its datapath is that of"
    " userspace",
    "other_config:ipsec_skb_mark": "for ovs-monitor-ipsec, which sets it as a policy of the"
    " kernel's XFRM; there is no IPsec here",
    "other_config:min-revalidate-pps": "no flow is given up because revalidation takes long: all"
    " are translated again, those that a change can have to do with at once",
    "other_config:n-handler-threads": "the datapath's workers (pmd-cpu-mask) hand misses to one"
    " process, which translates them",
    "other_config:n-revalidator-threads": "the same process revalidates, in pieces between packets",
    "other_config:pmd-maxsleep": "a worker without packets always sleeps, until one comes: no"
    " packet waits for the end of a sleep",
    "other_config:pmd-sleep-max": "the same, by its newer name",
    "other_config:tx-flush-interval": "frames leave with the end of the burst that they came in,"
    " as with the default of 0",
}

# Of these, what changes only how fast things are, not what happens; and bond_fake_iface, see above.
HARMLESS = (
    *(name for name in REASONS if name != "other_config:ipsec_skb_mark"),
    "other_config:n-offload-threads",
    "other_config:tx-steering",
)

# Tables whose rows are of use only where one of these columns refers to them.
TABLES: tuple = ()

DOCUMENT = """\
# What of the database is not followed yet

Made by `python -m vswitchd.database.not_followed`. These columns can be set, and kept, but
nothing happens: `pyvs-vsctl` and vswitchd's log say so.

All but those with a reason are DPDK's or of hardware offload, or name the values that can be had.

| table | column | of use all the same | reason |
|---|---|---|---|
"""

COMMANDS = """\
Of the commands of ovs-appctl(8) and ovs-dpctl(8), `dpif-dummy/change-port-number`,
`dpctl/cache-set-size` and `dpctl/offload-stats-show` say that they are not supported, and
`dpif/set-dp-features` says so of the features that cannot be set aside.
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
        f"| {table} | {name} | {', '.join(fine)} | {REASONS.get(name, '')} |\n"
        for table, columns in COLUMNS.items()
        for name, fine in columns.items()
    )
    return f"{DOCUMENT}{rows}\n{COMMANDS}"


if __name__ == "__main__":
    print(document(), end="")
