"""Flows outlive a killed vswitchd, in the tables and in the datapath; real daemons."""

import contextlib
import re
import socket
import threading
import time

import pytest
from ovs.unixctl.client import UnixctlClient

from ofproto.codec import messages as m
from ofproto.codec.numbers import OF10, OF13, OF15
from ofproto.tables.journal import FLOW_MOD, HEADER, STATE, Journal
from ofproto.text import flow_text, group_text
from pyvs import clock
from tests.daemons import VSWITCHD, wait_until
from tests.of_client import Client

pytestmark = pytest.mark.system


def client(switch, version=OF13, bridge="br0"):
    made = Client.unix(switch.directory / f"{bridge}.mgmt", version)
    made.hello()
    return made


def mod(text, command=m.ADD, version=OF13, **more):
    made = flow_text.parse_flow(text, command)
    if made.table_id is None and command < m.DELETE and version > OF10:
        made.table_id = 0
    for name, value in more.items():
        setattr(made, name, value)
    return made


def flows(switch):
    """What a tool sees of br0, without counters, sorted."""
    tool = client(switch)
    reply = tool.ask(m.FlowStatsRequest())
    tool.close()
    return sorted(flow_text.format_flow(each, stats=False) for each in reply.flows)


def do(switch, *mods, version=OF13, **form):
    tool = client(switch, version)
    tool.do(*mods, **form)
    tool.close()


def restart(switch):
    switch.restart(VSWITCHD)


def test_flows_of_both_versions(switch):
    switch.vsctl("add-br", "br0")
    do(
        switch,
        mod("cookie=0x11,priority=7,tcp,tp_dst=80 actions=output:1", flags=m.SEND_FLOW_REM),
        mod("table=5,priority=9,ip,nw_dst=10.0.0.0/8 actions=dec_ttl,output:2"),
        mod("table=0,in_port=4 actions=write_metadata:5,goto_table:5"),
        mod("table=0,in_port=5 actions=drop"),
    )
    old = [mod("priority=8,dl_vlan=5 actions=mod_vlan_vid:6,output:1", version=OF10)]
    do(switch, *old, version=OF10)
    do(switch, mod("reg1=5,tun_id=7 actions=resubmit(,5)", version=OF10), version=OF10, nxm=True)
    do(switch, mod("in_port=5", m.DELETE), mod("in_port=4 actions=output:9", m.MODIFY))
    before = flows(switch)
    assert len(before) == 6 and any("send_flow_rem" in each for each in before)
    restart(switch)
    assert flows(switch) == before
    do(switch, mod("table=9 actions=drop"))
    restart(switch)
    restart(switch)
    assert len(flows(switch)) == 7


def test_timeouts_go_on(switch):
    switch.vsctl("add-br", "br0")
    do(
        switch,
        mod("in_port=1,hard_timeout=1000 actions=drop"),
        mod("in_port=2,hard_timeout=2 actions=drop"),
        mod("in_port=3,idle_timeout=1 actions=drop"),
        mod("in_port=4,idle_timeout=1000 actions=drop"),
    )
    tool = client(switch)
    age = tool.ask(m.FlowStatsRequest(match=mod("in_port=1 actions=drop").match)).flows[0]
    restart(switch)
    again = client(switch)
    later = again.ask(m.FlowStatsRequest(match=mod("in_port=1 actions=drop").match)).flows[0]
    assert later.hard_timeout == 1000 and later.cookie == age.cookie

    def seconds(stats):
        return stats.duration_sec + stats.duration_nsec / 1e9

    assert seconds(later) > seconds(age)
    wait_until(lambda: len(flows(switch)) == 3, what="the timeouts")
    left = flows(switch)
    restart(switch)
    assert flows(switch) == left  # what ended does not come back


def test_configured_controllers_keep_the_flows(switch):
    """A restart is no reason to flush, secure or not, connected or not."""
    switch.allow("nobody: connection attempt failed")
    switch.vsctl("add-br", "br0", "--", "set-fail-mode", "br0", "secure")
    switch.vsctl("set-controller", "br0", f"unix:{switch.directory}/nobody")
    wait_until(lambda: not flows(switch), what="the flush")
    do(switch, mod("priority=5,in_port=1 actions=output:2"))
    restart(switch)
    assert flows(switch) == ["priority=5,in_port=1 actions=output:2"]
    switch.vsctl("del-controller", "br0")
    wait_until(lambda: flows(switch) == [], what="the flush")
    switch.vsctl("del-fail-mode", "br0")
    wait_until(lambda: flows(switch) == ["priority=0 actions=NORMAL"], what="the default")
    restart(switch)
    assert flows(switch) == ["priority=0 actions=NORMAL"]


def test_configuration_that_changed_meanwhile(switch):
    """vswitchd was away when the bridge got a controller: its old flows go."""
    switch.allow("nobody: connection attempt failed")
    switch.vsctl("add-br", "br0")
    do(switch, mod("in_port=1 actions=output:2"))
    switch.kill(VSWITCHD)
    switch.vsctl("--no-wait", "set-controller", "br0", f"unix:{switch.directory}/nobody")
    switch.start_daemon(VSWITCHD)
    assert flows(switch) == []


def test_it_goes_with_its_bridge(switch):
    switch.vsctl("add-br", "br0", "--", "add-br", "br1")
    do(switch, mod("in_port=1 actions=output:2"))
    journal = switch.directory / "br0.flows"
    assert journal.stat().st_mode & 0o777 == 0o600
    switch.vsctl("del-br", "br0")
    assert not journal.exists()
    assert (switch.directory / "br1.flows").exists()
    switch.vsctl("add-br", "br0")
    assert flows(switch) == ["priority=0 actions=NORMAL"]
    # Deleted and made again while nobody looked.
    do(switch, mod("in_port=1 actions=output:2"))
    switch.kill(VSWITCHD)
    switch.vsctl("--no-wait", "del-br", "br1")
    switch.start_daemon(VSWITCHD)
    assert len(flows(switch)) == 2


def records(data):
    """Where each record of a journal begins, and its kind."""
    at = data.index(b"\n") + 1
    while at < len(data):
        size = HEADER.unpack_from(data, at)[0]
        yield at, data[at + HEADER.size : at + HEADER.size + 1]
        at += HEADER.size + size


DAMAGES = ("torn", "flipped", "state", "second state", "garbage", "empty", "unreadable")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_journal(switch, damage):
    """What is whole is taken, and the switch works on; never a crash."""
    switch.allow("flows start empty|flows are not kept|damaged bytes skipped")
    switch.vsctl("add-br", "br0")
    if damage == "second state":
        switch.allow("connection (attempt )?failed")
        switch.vsctl("set-controller", "br0", "tcp:127.0.0.1:1")
    do(switch, *(mod(f"in_port={number} actions=output:1") for number in range(1, 21)))
    journal = switch.directory / "br0.flows"
    switch.kill(VSWITCHD)
    data = journal.read_bytes()
    third = len(data) // 3
    state = data.index(b"\n") + 1 + HEADER.size + 1  # behind CLEAR
    last = next(reversed([at for at, kind in records(data) if kind == STATE]))
    if damage == "unreadable":
        journal.unlink()
        journal.mkdir()
    else:
        journal.write_bytes(
            {
                "torn": data[: 2 * third],
                "flipped": data[: 2 * third] + bytes([data[2 * third] ^ 1]) + data[2 * third + 1 :],
                "state": data[: state + 4] + b"xxxx" + data[state + 8 :],
                "second state": data[: last + 4] + b"xxxx" + data[last + 8 :],
                "garbage": bytes(range(256)) * 40,
                "empty": b"",
            }[damage]
        )
    switch.start_daemon(VSWITCHD)
    left = flows(switch)
    if damage == "second state":
        assert len(left) == 20
    elif damage in ("torn", "flipped", "state"):
        least, most = {"torn": (10, 20), "flipped": (20, 21), "state": (21, 21)}[damage]
        assert least <= len(left) <= most and "priority=0 actions=NORMAL" in left
    else:
        assert left == ["priority=0 actions=NORMAL"]
    do(switch, mod("in_port=99 actions=output:1"))
    if damage != "unreadable":
        left = flows(switch)
        restart(switch)
        assert flows(switch) == left


def test_datapath_flows_that_are_still_right_stay(switch):
    """They are adopted with their counters; packets notice nothing, and the rules' counters go
    on from there."""
    switch.vsctl("add-br", "br0")
    one = switch.container("c1", "10.0.0.1/24", "br0")
    switch.container("c2", "10.0.0.2/24", "br0")
    do(
        switch,
        mod("priority=9,icmp,in_port=1 actions=output:2"),
        mod("priority=9,icmp,in_port=2 actions=output:1"),
    )
    assert one.ping("10.0.0.2", count=5) == 5

    def datapath_flows():
        found = {}
        for line in switch.dpctl("dump-flows").splitlines():
            match = re.match(r"(.*proto=1.*), packets:(\d+),.*actions:(.*)", line)
            if match:
                found[match[1], match[3]] = int(match[2])
        return found

    before = datapath_flows()
    assert len(before) == 2 and all(before.values())
    restart(switch)
    assert one.ping("10.0.0.2", count=5) == 5
    after = datapath_flows()
    assert after.keys() == before.keys()
    assert all(after[flow] >= before[flow] + 5 for flow in before)
    tool = client(switch)
    wait_until(
        lambda: tool.ask(m.AggregateRequest(match=mod("icmp,actions=drop").match)).n_packets >= 10,
        what="the rules' counters",
    )
    do(switch, mod("icmp", m.DELETE), mod("priority=0 actions=drop"))
    wait_until(lambda: one.ping("10.0.0.2", count=1, wait=0.2) == 0, what="their end")


def test_many_flows_are_back_at_once(switch):
    """20,000 flows: in order, none lost, and the journal was shortened on the way."""
    switch.vsctl("add-br", "br0", "--", "set-fail-mode", "br0", "secure")
    tool = client(switch)
    match = mod("priority=7,ip,nw_dst=1.2.3.4 actions=output:1")
    raw = bytearray(match.encode(OF13))
    at = raw.index(bytes([1, 2, 3, 4]))
    for round_ in range(3):
        stream = bytearray()
        for number in range(20000):
            raw[at : at + 4] = number.to_bytes(4, "big")
            raw[8:16] = (round_ * 100000 + number).to_bytes(8, "big")
            stream += raw
        tool.write(bytes(stream))
        assert tool.barrier() == []
    restart(switch)
    again = client(switch)
    found = again.ask(m.FlowStatsRequest()).flows
    assert sorted(each.cookie for each in found) == [200000 + number for number in range(20000)]
    tool.close()
    again.close()


def test_snoop_and_mgmt_are_for_their_owner(switch):
    switch.vsctl("add-br", "br0")
    for name in ("br0.mgmt", "br0.snoop", "br0.flows"):
        assert (switch.directory / name).stat().st_mode & 0o777 == 0o600, name
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.connect(str(switch.directory / "br0.snoop"))
        sock.settimeout(10)
        with contextlib.suppress(ConnectionError):  # without controllers it may be closed already
            sock.sendall(b"\xff\xff\0\7" + bytes(100))
            while sock.recv(1000):
                pass


HUGE_FLOWS = 80  # of 64 KB of actions each: a second of work


def huge_flows(switch, bridge):
    """A journal of few flows that are long, as a process that was killed leaves it."""
    path = switch.directory / f"{bridge}.flows"
    path.unlink()
    actions = ",".join(f"output:{number}" for number in range(1, 4050))
    first = mod(f"in_port=1,eth_type=0x88b5 actions={actions}").encode(OF13)
    rest = mod("priority=0 actions=NORMAL").encode(OF13)
    journal = Journal(str(path))
    list(journal.replay())
    for number in range(1, HUGE_FLOWS + 1):
        journal.append(FLOW_MOD, first.replace(OXM_IN_PORT_1, port_oxm(number)), clock.msec())
    journal.append(FLOW_MOD, rest, clock.msec())
    journal.append(STATE, b"\0", clock.msec())
    journal.close()


def port_oxm(number):
    return b"\x80\x00\x00\x04" + number.to_bytes(4, "big")


OXM_IN_PORT_1 = port_oxm(1)


def ask(switch, command):
    """What the vswitchd that runs, or is about to, says to a command; None before it listens."""
    found = list(switch.directory.glob("pyvs-vswitchd.*.ctl"))
    if not found:
        return None
    error, asked = UnixctlClient.create(str(found[0]))
    if error:
        return None
    error, _, said = asked.transact(command, [])
    asked.close()
    return None if error else said


def n_flows(switch, bridge):
    """How many a bridge says that it has; None where it does not take connections yet."""
    try:
        tool = client(switch, bridge=bridge)
    except OSError:
        return None
    found = tool.ask(m.AggregateRequest()).n_flows
    tool.close()
    return found


def test_nobody_waits_for_a_long_replay(switch):
    """The loop goes on, with the other bridge, while flows of before are taken over; their own
    bridge has none of them or all."""
    switch.vsctl("add-br", "br0", "--", "add-br", "br1")
    switch.kill(VSWITCHD)
    for left in switch.directory.glob("pyvs-vswitchd.*.ctl"):
        left.unlink()
    huge_flows(switch, "br0")
    began, waits = time.monotonic(), []
    starting = threading.Thread(target=switch.start_daemon, args=(VSWITCHD,))
    starting.start()
    while (bridges := ask(switch, "ofproto/list")) != "br0\nbr1\n":
        asked = time.monotonic()
        assert asked < began + 60 and bridges in (None, "", "br1\n")
        assert n_flows(switch, "br0") in (None, HUGE_FLOWS + 1)
        if bridges == "br1\n":
            assert n_flows(switch, "br1") == 1
            waits.append(time.monotonic() - asked)
    starting.join()
    assert len(waits) > 3 and max(waits) < (time.monotonic() - began) / 4
    assert n_flows(switch, "br0") == HUGE_FLOWS + 1


def start_replay(switch):
    """vswitchd starts, until it has br1 and takes over flows of br0; the thread that waits for the
    command to end."""
    for left in switch.directory.glob("pyvs-vswitchd.*.ctl"):
        left.unlink()
    starting = threading.Thread(target=try_to_start, args=(switch,))
    starting.start()
    wait_until(lambda: ask(switch, "ofproto/list") == "br1\n", what="a replay")
    return starting


def try_to_start(switch):
    with contextlib.suppress(AssertionError, OSError):  # it is ended before it is ready
        switch.start_daemon(VSWITCHD)


def test_an_end_in_the_midst_of_a_replay_takes_no_flow_and_the_replay_no_packet(switch):
    """Killed, and told to exit; then a packet waits for its bridge to be there."""
    switch.allow("journal|exit")
    switch.vsctl("add-br", "br0", "--", "add-br", "br1")
    one = switch.container("c1", "10.0.0.1/24", "br0")
    two = switch.container("c2", "10.0.0.2/24", "br0")
    assert one.ping("10.0.0.2") == 3 and two.ping("10.0.0.1") == 3
    switch.kill(VSWITCHD)
    huge_flows(switch, "br0")
    path = switch.directory / "br0.flows"
    written = path.read_bytes()
    for end in (lambda: switch.kill(VSWITCHD), lambda: ask(switch, "exit")):
        starting = start_replay(switch)
        end()
        starting.join()
        wait_until(lambda: ask(switch, "ofproto/list") is None, what="its end")
        assert path.read_bytes() == written
    switch.dpctl("del-flows")
    starting = start_replay(switch)
    assert one.ping("10.0.0.2", count=1, wait=20) == 1  # its frame is sent once
    starting.join()
    assert n_flows(switch, "br0") == HUGE_FLOWS + 1


def groups(switch, version):
    """(number, buckets) of br0's groups, as a client of that version is told."""
    tool = client(switch, version)
    found = tool.ask(m.GroupDescRequest()).groups
    tool.close()
    return [(group.group_id, len(group.buckets)) for group in found]


def test_a_group_of_as_many_buckets_as_can_be_told(switch):
    """Buckets that come one message after another: what no message could say is refused, so that
    each version has the group, and so have a shorter journal and the next process."""
    protocols = ",".join(f"OpenFlow1{minor}" for minor in range(6))
    switch.vsctl("add-br", "br0", "--", "set", "bridge", "br0", f"protocols={protocols}")
    tool = client(switch, OF15)
    tool.do(group_text.parse_group("group_id=7,type=select", m.GROUP_ADD))
    sets = "set_field:02:00:00:00:00:05->eth_dst,set_field:02:00:00:00:00:06->eth_src"
    error, number = None, 0
    while error is None:
        text = "".join(f",bucket=bucket_id={number + n},actions={sets},output:2" for n in range(40))
        insert = group_text.parse_group(
            f"group_id=7,command_bucket_id=last{text}", m.GROUP_INSERT_BUCKET
        )
        tool.send(insert)
        said = tool.barrier()
        error = next((each.name for each in said if isinstance(each, m.Error)), None)
        number += 0 if error else 40
    assert error == "OFPGMFC_OUT_OF_BUCKETS" and number > 400
    known = [groups(switch, version) for version in range(OF10, OF15 + 1)]
    assert known == [[(7, number)]] * 6
    path = switch.directory / "br0.flows"
    actions = ",".join(f"output:{port}" for port in range(1, 3000))
    size, large = 0, mod(f"table=3,actions={actions}")
    while path.stat().st_size >= size:  # until it is written anew
        size = path.stat().st_size
        tool.do(*[large] * 20)
    tool.close()
    restart(switch)
    assert [groups(switch, version) for version in range(OF10, OF15 + 1)] == known
