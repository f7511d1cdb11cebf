"""Bonds that balance, from the database to the frames that leave."""

import re
from collections import Counter

import pytest

from datapath.base.protocols import ETH_SLOW
from ofproto.protocols import lacp
from tests.daemons import wait_until
from tests.ovs_names import Names

pytestmark = pytest.mark.system

MEMBERS = ("p1", "p2", "p3")
STATION = (
    "in_port(7),eth(src=50:54:00:00:00:{:02x},dst=50:54:00:00:01:00),eth_type(0x0800),"
    "ipv4(src=10.0.0.2,dst=10.0.0.1,proto=6,tos=0,ttl=64,frag=no),tcp(src=8,dst={})"
)


@pytest.fixture
def bond(tmp_path):
    made = Names(tmp_path)
    made.start("--enable-dummy", "--disable-system")
    add = "add-br br0 -- set bridge br0 datapath_type=dummy -- add-port br0 p7 -- set interface p7 "
    add += "type=dummy ofport_request=7 -- add-bond br0 bond0 p1 p2 p3 bond_mode=balance-slb"
    for name in MEMBERS:
        add += f" -- set interface {name} type=dummy ofport_request={name[1]}"
        add += f" options:tx_pcap={made.rundir}/{name}.pcap"
    made.run("ovs-vsctl", *add.split())
    yield made
    made.close()


def sent(bond):
    """(source, Ethernet type) -> member, of all frames that left."""
    found = {}
    for name in MEMBERS:
        data = (bond.rundir / f"{name}.pcap").read_bytes()[24:]
        while data:
            size = int.from_bytes(data[8:12], "little")
            frame, data = data[16 : 16 + size], data[16 + size :]
            port = frame[36:38] if frame[12:14] == b"\x08\x00" else b""
            found[frame[6:12].hex(":"), frame[12:14].hex(), port] = name
    return found


def show(bond):
    """Member -> its lines."""
    shown = bond.run("ovs-appctl", "bond/show", "bond0").split("\nmember ")
    return {part.partition(":")[0]: part for part in shown}


def receive(bond, stations, ports=(1,)):
    flows = [STATION.format(station, port) for station in stations for port in ports]
    bond.run("ovs-appctl", "netdev-dummy/receive", "p7", *flows)


def partner(number):
    """A frame of a switch that speaks LACP, on its link of this number; 90 s it is heard."""
    state = lacp.AGGREGATION | lacp.SYNC | lacp.COLLECTING | lacp.DISTRIBUTING
    actor = lacp.Info(1, b"\2\0\0\0\0\7", 5, 1, number, state)
    head = lacp.ADDRESS + actor.sys_id + ETH_SLOW.to_bytes(2, "big")
    return head + lacp.compose(actor, lacp.NOBODY)


def test_slb(bond):
    receive(bond, range(40))
    by_station = {source: name for (source, kind, _), name in sent(bond).items() if kind == "0800"}
    assert len(by_station) == 40 and min(Counter(by_station.values()).values()) > 3
    station = next(source for source, name in by_station.items() if name == "p2")
    number = int(bond.run("ovs-appctl", "bond/hash", station))
    assert bond.run("ovs-appctl", "bond/migrate", "bond0", str(number), "p3") == "migrated\n"
    receive(bond, [int(station[-2:], 16)])
    assert sent(bond)[station, "0800", b"\0\1"] == "p3"
    # A member fails: others have its stations, and the switches behind them are told.
    bond.run("ovs-appctl", "netdev-dummy/set-admin-state", "p3", "down")
    receive(bond, range(40), [2])
    assert {name for key, name in sent(bond).items() if key[2] == b"\0\2"} == {"p1", "p2"}

    def told():
        return {source for source, kind, _ in sent(bond) if kind == "8035"}

    wait_until(lambda: told() == set(by_station), what="the RARP packets")
    with pytest.raises(Exception, match="cannot migrate to disabled member"):
        bond.run("ovs-appctl", "bond/migrate", "bond0", str(number), "p3")


def test_a_member_goes(bond):
    """Its device does; stations, choices and commands of the others stay."""
    station = "50:54:00:00:00:63"
    bond.run("ovs-appctl", "bond/set-active-member", "bond0", "p1")
    bond.run("ovs-appctl", "netdev-dummy/receive", "p1", STATION.format(0x63, 1))
    assert station in bond.run("ovs-appctl", "fdb/show", "br0")
    receive(bond, range(40))
    by_station = {source: name for (source, kind, _), name in sent(bond).items() if kind == "0800"}
    own = next(source for source, name in by_station.items() if name == "p1")
    number = bond.run("ovs-appctl", "bond/hash", own).strip()
    bond.run("ovs-appctl", "bond/migrate", "bond0", number, "p3")
    bond.run("ovs-vsctl", "set", "interface", "p2", "type=system")
    wait_until(lambda: "p2" not in show(bond), what="the member's end")
    assert station in bond.run("ovs-appctl", "fdb/show", "br0")
    assert "active member" in show(bond)["p1"]
    receive(bond, range(40), [2])
    late = {key[0]: name for key, name in sent(bond).items() if key[2] == b"\0\2"}
    assert late[own] == "p3" and set(late.values()) == {"p1", "p3"}
    stayed = [source for source in late if by_station[source] != "p2" and source != own]
    assert stayed and all(late[source] == by_station[source] for source in stayed)
    # One is left: no bond, but the same stations behind it.
    bond.run("ovs-vsctl", "set", "interface", "p1", "type=system")
    wait_until(lambda: bond.run("ovs-appctl", "bond/list").count("\n") == 1, what="the bond's end")
    assert station in bond.run("ovs-appctl", "fdb/show", "br0")
    receive(bond, [1], [3])
    assert {name for key, name in sent(bond).items() if key[2] == b"\0\3"} == {"p3"}


def test_tcp_and_its_loads(bond):
    bond.run("ovs-vsctl", "set", "port", "bond0", "bond_mode=balance-tcp",
             "other_config:bond-rebalance-interval=0")  # fmt: skip
    receive(bond, [1], range(1, 3))
    assert not [key for key in sent(bond) if key[1] == "0800"]  # nobody knows of the bond
    bond.run("ovs-vsctl", "set", "port", "bond0", "lacp=passive")
    for number, name in enumerate(MEMBERS, 1):
        bond.run("ovs-appctl", "netdev-dummy/receive", name, partner(number).hex())
    bond_is = "lacp_status: negotiated"
    wait_until(lambda: bond_is in bond.run("ovs-appctl", "bond/show"), what="the partner")
    no_member = "may_enable: false"
    wait_until(lambda: no_member not in bond.run("ovs-appctl", "bond/show"), what="the members")
    receive(bond, [1], range(1, 101))
    by_port = {port: name for (_, kind, port), name in sent(bond).items() if kind == "0800"}
    assert len(by_port) == 100 and min(Counter(by_port.values()).values()) > 15
    flows = bond.run("ovs-appctl", "dpctl/dump-flows")
    assert re.search(r"recirc_id\(0\).*actions:.*hash\(l4\(0\)\),recirc\(0x1\)", flows)
    assert flows.count("/0xff)") <= 256
    for _ in range(20):
        receive(bond, [1], range(1, 101))

    def loads():
        bond.run("ovs-appctl", "revalidator/wait")
        return [sum(map(int, re.findall(r": (\d+) kB load", show(bond)[name]))) for name in MEMBERS]

    wait_until(lambda: all(loads()), what="the loads")
    assert "Recirc-ID : 1\n" in bond.run("ovs-appctl", "bond/show")
    bond.run("ovs-vsctl", "set", "port", "bond0", "other_config:bond-rebalance-interval=5000")
    assert re.search(r"^next rebalance: [0-9]{3,4} ms$", bond.run("ovs-appctl", "bond/show"), re.M)
    # A member's end moves what it had.
    bond.run("ovs-appctl", "netdev-dummy/set-admin-state", "p2", "down")
    assert "hash" not in show(bond)["p2"]
    receive(bond, [1], range(101, 141))
    late = {name for (_, _, port), name in sent(bond).items() if port > b"\0\x64"}
    assert late == {"p1", "p3"}
