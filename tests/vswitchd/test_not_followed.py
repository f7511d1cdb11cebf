"""The list of what is not followed is whole, true, and told."""

import re

import pytest

from ovsdb.storage import files
from tests.daemons import BIN, ROOT
from vswitchd.database import columns, not_followed

SCHEMA = files.load_schema(files.SWITCH_SCHEMA)["tables"]
# Columns that others follow, or that pyvs is to write one day.
OTHERS = {
    "Open_vSwitch": {"manager_options", "dpdk_version"},
}
OF_OVSDB_SERVER = {"Manager", "SSL"}


def test_every_column_stands_somewhere():
    for table, schema in SCHEMA.items():
        if table in OF_OVSDB_SERVER or table in not_followed.TABLES:
            continue
        known = {*columns.READ[table], *columns.WRITTEN.get(table, ())}
        known |= {"external_ids"} & schema["columns"].keys()
        assert schema["columns"].keys() == known | OTHERS.get(table, set()), table
        assert not OTHERS.get(table, set()) & known
    for table in not_followed.COLUMNS:
        assert set(not_followed.plain_columns(table)) <= SCHEMA[table]["columns"].keys()


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
    queue = "set bridge br0 other_config:controller-queue-size=9"
    assert told(*queue.split()) == lines("Bridge br0: other_config:controller-queue-size")
    config = "set open . other_config:flow-restore-wait=true"
    assert told(*config.split())[0].endswith(
        "other_config:flow-restore-wait true is not followed yet"
    )
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
        "bridge br0: other_config:controller-queue-size is",
        "other_config:flow-restore-wait true is",
    ):  # fmt: skip
        assert log.count(f"{text} not followed yet") == 1, text
