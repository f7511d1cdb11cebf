"""The list of what is not followed is whole, true, and told."""

import re
import subprocess

import pytest

from ovsdb.storage import files
from tests.daemons import BIN, ROOT
from vswitchd.database import columns, not_followed

SCHEMA = files.load_schema(files.SWITCH_SCHEMA)["tables"]
OF_OVSDB_SERVER = {"Manager", "SSL"}


def test_every_column_stands_somewhere():
    for table, schema in SCHEMA.items():
        if table in OF_OVSDB_SERVER or table in not_followed.TABLES:
            continue
        known = {*columns.READ[table], *columns.WRITTEN.get(table, ())}
        known |= {"external_ids"} & schema["columns"].keys()
        assert schema["columns"].keys() == known, table
    for table in not_followed.COLUMNS:
        assert set(not_followed.plain_columns(table)) <= SCHEMA[table]["columns"].keys()


# `table column:key` of each key of a map that ovs-vswitchd.conf.db(5) of Open vSwitch 3.1 names.
KEYS = (ROOT / "tests/vswitchd/database/conf_db_keys.txt").read_text().splitlines()
SOURCES = ("vswitchd", "ofproto", "ovsdb", "datapath", "containers", "tools")
# Keys that the sources put together of a part that many have: pattern -> that part.
PUT_TOGETHER = {
    "Bridge other_config:rstp-": '"rstp-',
    "Bridge rstp_status:rstp_": '"rstp_',
    "Port other_config:(r?stp)-enable": '"enable"',
    "Port rstp_statistics:rstp_": 'f"{name}_',
    "Port statistics:stp_": 'f"{name}_',
    "Port external_ids:fake-bridge-": '"fake-bridge-"',
    "Controller status:packet-in-TYPE-": 'f"packet-in-',
    "Manager status:locks_": 'f"locks_',
    "Open_vSwitch statistics:process_NAME": 'f"process_',
}
# What others write or read (managers, scripts of hypervisors), and of devices that pyvs lacks.
OF_OTHERS = {
    "Bridge external_ids:bridge-id",
    "Interface external_ids:iface-status",
    "Interface external_ids:vm-id",
    "Interface status:source_ip",  # no Open vSwitch writes it
    *(
        f"Interface status:{key}"  # DPDK's
        for key in (
            *("min_rx_bufsize", "max_rx_pktlen", "max_rx_queues", "max_tx_queues", "max_vfs"),
            *("max_mac_addrs", "max_hash_mac_addrs", "max_vmdq_pools", "if_type", "if_descr"),
            *("pci-vendor_id", "pci-device_id"),
        )
    ),
    *("QoS other_config:eir", "QoS other_config:ebs"),  # trtcm-policer's, which is in the list
}
NEWER = {"other_config:pmd-sleep-max"}  # than the man page


def man_page_keys(text):
    table = None
    for line in text.splitlines():
        if heading := re.fullmatch(r"([A-Za-z_]+) TABLE", line):
            table = heading[1]
        elif found := re.match(r"\s{5,}([a-z_]+)\s+:\s+([A-Za-z0-9_*-]+)(:|\s|$)", line):
            yield f"{table} {found[1]}:{found[2]}"


def test_the_keys_are_the_man_pages():
    shown = subprocess.run(
        "man 5 ovs-vswitchd.conf.db | col -b", shell=True, capture_output=True, text=True
    ).stdout
    if "3.1" not in shown[-200:]:
        pytest.skip("no man page of Open vSwitch 3.1")
    assert list(dict.fromkeys(man_page_keys(shown))) == KEYS


def test_every_key_is_followed_or_stands_in_the_list():
    text = "".join(
        path.read_text()
        for folder in SOURCES
        for path in (ROOT / folder).rglob("*.py*")
        if path.suffix in (".py", ".pyx", ".pxd") and path.name != "not_followed.py"
    )
    nowhere = []
    for name in KEYS:
        table, _, key = name.partition(" ")
        if key in not_followed.COLUMNS.get(table, {}) or name in OF_OTHERS:
            continue
        part = next((part for each, part in PUT_TOGETHER.items() if re.match(each, name)), None)
        if (part or f'"{key.partition(":")[2]}"') not in text:
            nowhere.append(name)
    assert nowhere == []
    for table, names in not_followed.COLUMNS.items():
        for key in names:
            assert ":" not in key or key in NEWER or f"{table} {key}" in KEYS, key


def test_the_documents_are_true():
    assert (ROOT / "docs/not-followed.md").read_text() == not_followed.document()


@pytest.mark.system
def test_setting_them_is_told(switch):
    switch.allow("is not followed yet")
    switch.vsctl("add-br", "br0")
    for name in ("e1", "e2"):
        switch.host.run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}x")

    def told(*words):
        """What vsctl says on standard error."""
        switch.host.run(
            *("sh", "-c", f'"$0" "$@" 2> {switch.directory}/err', str(BIN / "pyvs-vsctl")),
            *words,
            env=switch.environment,
        )
        return (switch.directory / "err").read_text().splitlines()

    def lines(*texts):
        return [f"pyvs-vsctl: {text} is not followed yet" for text in texts]

    bond = "add-bond br0 bond0 e1 e2 bond_mode=balance-slb bond_fake_iface=true other_config:a=b"
    assert told(*bond.split()) == lines("Port bond0: bond_fake_iface")
    slots = "set interface e1 options:n_txq_desc=512"
    assert told(*slots.split()) == lines("Interface e1: options:n_txq_desc")
    config = "set open . other_config:hw-offload=true"
    assert told(*config.split())[0].endswith("other_config:hw-offload true is not followed yet")
    nameless = "\n".join(told("create", "Flow_Table", "prefixes=tcp_src"))
    assert re.search(r"^pyvs-vsctl: Flow_Table [0-9a-f]{8}: prefixes tcp_src", nameless, re.M)
    # What asks for nothing, and what only takes away, needs no word.
    for words in (
        "set port bond0 lacp=active bond_mode=active-backup protected=true",
        "add-aa-mapping br0 1 2",
        "clear bridge br0 auto_attach",
        "set interface e1 bfd:oam=true lldp:enable=true",
        "set bridge br0 protocols=OpenFlow13 stp_enable=false",
        "get bridge br0 auto_attach",
    ):
        assert told(*words.split()) == [], words
    log = (switch.directory / "pyvs-vswitchd.log").read_text()
    for text in (
        "options:n_txq_desc is",
        "other_config:hw-offload true is",
    ):  # fmt: skip
        assert log.count(f"{text} not followed yet") == 1, text
