"""What pyvs tells of itself beside Open vSwitch 3.1, after the same commands: sFlow's counters, and
why flows were looked at again (coverage counters rev_*)."""

import functools
import re
import struct
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from ofproto.exports import sflow, sflow_counters
from tests.daemons import CommandFailed, wait_until
from tests.ofproto.ovs_peer import Ovs, peer_marks
from tests.ovs_names import Names, side_by_side
from tests.system.layer2.test_netflow import Collector

pytestmark = [pytest.mark.system, *peer_marks]

PORTS = (1, 2, 5, 6)
BRIDGE = "add-br br0 -- set bridge br0 datapath_type=dummy other_config:hwaddr=aa:55:aa:55:00:00"
BOND = "-- add-bond br0 bond0 p5 p6 lacp=active"
FLOW = (
    "in_port(1),eth(src=50:54:00:00:00:{:02x},dst=50:54:00:00:00:07),eth_type(0x0800),"
    "ipv4(src=10.0.0.1,dst=10.0.0.2,proto=1,tos=0,ttl=64,frag=no),icmp(type=8,code=0)"
)
REASONS = ("reconfigure", "stp", "rstp", "bond", "flow_table", "mac_learning", "mcast_snooping")


class Theirs:
    """Open vSwitch with the methods of a Names."""

    def __init__(self, directory: Path):
        self.peer = Ovs(directory)
        self.peer.start()
        self.host = SimpleNamespace(popen=lambda *words, **more: subprocess.Popen(words, **more))
        self.close = self.peer.stop

    def run(self, program, *words):
        at = self.peer.directory
        if program == "ovs-ofctl":
            return self.peer.run(program, words[0], f"unix:{at}/{words[1]}.mgmt", *words[2:])
        return {"ovs-vsctl": self.peer.vsctl, "ovs-appctl": self.peer.appctl}[program](*words)


@pytest.fixture
def both(tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "mine").mkdir()
    mine = Names(tmp_path / "mine")
    try:
        mine.start("--enable-dummy", "--disable-system")
        theirs = Theirs(tmp_path / "theirs")
    except BaseException:
        mine.close()
        raise
    yield mine, theirs
    theirs.close()
    mine.close()


def set_up(switch):
    words = f"{BRIDGE} fail-mode=standalone"
    for number in PORTS[:2]:
        words += f" -- add-port br0 p{number}"
    words += f" {BOND}"
    for number in PORTS:
        words += f" -- set interface p{number} type=dummy ofport_request={number}"
        words += f" options:ifindex={1000 + number}"
    switch.run("ovs-vsctl", *words.split())


def counter_samples(datagrams):
    """Source -> {type: record}, of the latest samples."""
    found = {}
    for datagram in datagrams:
        at = 28
        while at < len(datagram):
            kind, size = struct.unpack_from("!II", datagram, at)
            if kind == sflow.COUNTER_SAMPLE:
                sample = datagram[at + 8 : at + 8 + size]
                found[int.from_bytes(sample[4:8], "big")] = dict(records(sample[12:]))
            at += 8 + size
    return found


def records(data):
    while data:
        kind, size = struct.unpack_from("!II", data)
        yield kind, data[8 : 8 + size]
        data = data[8 + size :]


def comparable(kind, record):
    """Without times and memory; of LACP without padding, which theirs leaves as it was, without the
    aggregate, which theirs names after any of its members, and what rises by time."""
    if kind == sflow_counters.APP_RESOURCES:
        return record[16:]
    if kind == sflow_counters.LACP:
        return record[:6], record[8:14], record[24:44], record[48:]
    if kind == sflow_counters.INTERFACE:
        return record[:56]  # what is sent is LACP, by time
    return record


def test_counters_of_sflow(both, tmp_path):
    told = []
    for number, switch in enumerate(both):
        set_up(switch)
        for station in range(5):
            switch.run("ovs-appctl", "netdev-dummy/receive", "p1", FLOW.format(station))
        collector = Collector(switch.host, "127.0.0.1", tmp_path / f"datagrams{number}")
        switch.run(
            "ovs-vsctl", "set", "bridge", "br0", "sflow=@s", "--", "--id=@s", "create", "sflow",
            f'targets="{collector.target}"', "sampling=100000", "polling=1", "agent=127.0.0.1",
        )  # fmt: skip
        wait_until(lambda each=switch: "defaulted" in each.run("ovs-appctl", "lacp/show"))
        before = len(collector.lines())
        wait_until(lambda it=collector, n=before: len(it.lines()) > n + 4, what="counters")
        found = counter_samples(map(bytes.fromhex, collector.lines()[1 + before :]))
        collector.process.kill()
        collector.process.wait()
        told.append(
            {
                source: {kind: comparable(kind, each) for kind, each in sample.items()}
                for source, sample in found.items()
            }
        )
    mine, theirs = told
    assert set(mine) == {sflow.SWITCH, *(1000 + number for number in PORTS)}
    assert mine == theirs


PLAIN = f"{BRIDGE} -- add-port br0 p1 -- set interface p1 type=dummy ofport_request=1"


def reasons(switch):
    read = ("ovs-appctl", "coverage/read-counter")
    return {why: int(switch.run(*read, f"rev_{why}")) for why in REASONS}


def test_reasons_to_look_at_flows(both):
    mine, theirs = both
    assert not any(reasons(mine).values()) and not any(reasons(theirs).values())
    theirs.run("ovs-vsctl", *PLAIN.split())
    steps = (
        ("reconfigure", "ovs-vsctl", *PLAIN.split()),
        ("reconfigure", "ovs-vsctl", "set", "interface", "p1", "lldp:enable=true"),
        ("flow_table", "ovs-ofctl", "add-flow", "br0", "ip,actions=drop"),
        ("flow_table", "ovs-ofctl", "add-flow", "br0", "priority=40000,actions=normal"),
        ("mac_learning", "ovs-appctl", "netdev-dummy/receive", "p1", FLOW.format(9)),
    )  # fmt: skip
    for why, *command in steps:
        # Theirs counts one reason of several that come together.
        for switch in both if why != steps[0][0] else (mine,):
            before = reasons(switch)[why]
            switch.run(*command)
            wait_until(
                lambda it=switch, n=before, name=why: reasons(it)[name] > n,
                what=f"{why} of {type(switch).__name__} after {command}",
            )


TRACED_FLOWS = (
    "priority=5,in_port=1,ip,actions=clone(mod_dl_dst:00:00:00:00:00:09,output:2),dec_ttl,2",
    "priority=6,in_port=1,tcp,tcp_dst=80,actions=set_tunnel:5,resubmit(,1)",
    "table=1,actions=set_field:7->reg0,resubmit(,2)",
    "priority=5,in_port=2,dl_vlan=9,actions=strip_vlan,1",
)
TRACES = (
    ("br0", "in_port=1,ip,nw_ttl=9"),
    ("br0", "in_port=p1,tcp,tcp_dst=80", "--names"),
    ("in_port(p1),eth(),eth_type(0x0800),ipv4(proto=6,frag=no),tcp(dst=80)", "--names"),
    ("br0", "in_port=2,dl_vlan=9,ip"),
    ("br0", "arp,arp_spa=1.1.1.1,arp_tpa=1.1.1.2,arp_op=1,dl_dst=ff:ff:ff:ff:ff:ff,in_port=2"),
    ("br0", "arp,arp_op=7,dl_dst=ff:ff:ff:ff:ff:ff,in_port=2"),
)


def test_traces(both):
    told = []
    for switch in both:
        bridge = f"{BRIDGE} fail-mode=secure"
        ports = " ".join(
            f"-- add-port br0 p{n} -- set interface p{n} type=dummy ofport_request={n}"
            for n in (1, 2)
        )
        switch.run("ovs-vsctl", *f"{bridge} {ports}".split())
        switch.run("ovs-ofctl", "add-flow", "br0", "priority=0,actions=normal")
        for each in TRACED_FLOWS:
            switch.run("ovs-ofctl", "add-flow", "br0", each)
        told.append([switch.run("ovs-appctl", "ofproto/trace", *words) for words in TRACES])
    for mine, theirs in zip(*told, strict=True):
        assert mine and in_order(mine) == in_order(theirs)


def in_order(trace):
    """The ports of a flood come in any order."""
    told, found, actions = trace.partition("Datapath actions: ")
    return told, found, sorted(actions.strip().split(","))


FLOW_WITH_UFID = f"ufid:12121212-1212-1212-1212-121212121212 {FLOW.format(5)}"
DATAPATH = "dummy@ovs-dummy"
FRAME = "in_port(1),eth(),eth_type"
FLOWS_TO_ADD = (
    "in_port(1)", "eth(),eth_type(0x1234)", "in_port(1),eth()", f"{FRAME}(0x500)",
    f"{FRAME}(0x1234)", "in_port(1/1),eth(),eth_type(0x1234)", f"{FRAME}(0x1200/0xff00)",
    f"{FRAME}(0x800/0xff00),ipv4()", f"{FRAME}(0x800/0xff00),ipv4(src=1.1.1.1)",
    f"{FRAME}(0x800)", "in_port(1),eth_type(0x800),ipv4()", f"{FRAME}(0x800),ipv6()",
    f"{FRAME}(0x800),ipv4(proto=6)", f"{FRAME}(0x800),ipv4(proto=6,frag=later)",
    f"{FRAME}(0x800),ipv4(proto=17),tcp()", f"{FRAME}(0x800),ipv4(proto=6/0),tcp(src=1)",
    f"{FRAME}(0x86dd),ipv6(proto=58),icmpv6(type=135)", f"{FRAME}(0x8847),mpls(label=1)",
    f"{FRAME}(0x86dd),ipv6(proto=58),icmpv6(type=135,code=1)",
    f"{FRAME}(0x8100),vlan(vid=1)", f"{FRAME}(0x8100),vlan(vid=1),encap(eth_type(0x800))",
    f"{FRAME}(0x8100),vlan(vid=1),encap(eth_type(0x1234))", f"tunnel(tun_id=1),{FRAME}(0x1234)",
    "in_port(1),packet_type(ns=0,id=0)", "in_port(1),packet_type(ns=1,id=0x800)",
)  # fmt: skip
ANSWERS = (
    *(
        each
        for flow in FLOWS_TO_ADD
        for each in (("dpctl/add-flow", flow, "1"), ("dpctl/del-flows",))
    ),
    ("ofproto/trace", "br0", "recirc_id=77,in_port=1,ip"),
    ("ofproto/trace", "recirc_id(0x77),in_port(1)"),
    ("ofproto/trace", "br0", FLOW.format(5)),
    ("ofproto/trace", "br0", "in_port=1", "-generate", "xyz"),
    ("ofproto/trace", FLOW.format(5), "xyz", "-generate"),
    ("ofproto/trace", FLOW.format(5), "xyz"),
    ("ofproto/trace", "nosuch", FLOW.format(5)),
    ("ofproto/trace", "nosuch", FLOW.format(5), "xyz"),
    ("ofproto/trace", "br0", "in_port=1", "x", "y"),
    ("dpctl/parse-actions", "userspace(pid=5"),
    ("dpctl/parse-actions", "0x5,010,userspace(pid=7,slow_path(cfm|stp))"),
    (
        "dpctl/parse-actions",
        *(
            f"set({each})"
            for each in (
                "udp(src=1,dst=2)",
                "sctp(src=1,dst=2)",
                "icmp(type=1,code=2)",
                "icmpv6(type=1,code=2)",
                "arp(sip=1.2.3.4,op=1)",
                "nd(target=fe80::1,sll=00:00:00:00:00:02)",
                "tcp(src=1,dst=2)",
            )
        ),
    ),
    ("dpctl/dump-flows", "pmd=7"),
    ("dpif-netdev/pmd-rxq-show", "-pmd", "7"),
    ("dpctl/add-flow", FLOW.format(5), "set(xyz())"),
    ("dpctl/add-flow", "xyz", "1"),
    ("dpctl/add-flow", FLOW_WITH_UFID, "1"),
    ("dpctl/dump-flows",),
    ("dpctl/del-flow", FLOW_WITH_UFID),
    ("dpctl/del-flow", FLOW_WITH_UFID),
    ("dpctl/del-flow", "in_port(1),xyz(2)"),
    ("dpctl/normalize-actions", "xyz", "1"),
    ("dpctl/show", "-x"),
    ("dpctl/dump-dps", "xyz"),
    ("dpctl/add-if", DATAPATH),
    ("dpctl/del-if", "xyz"),
    ("dpctl/set-if", "xyz"),
    ("dpctl/cache-set-size", DATAPATH, "xyz"),
    ("dpctl/ipf-set-enabled", DATAPATH, "v5"),
    ("dpctl/flush-conntrack", "zone=xyz"),
    ("dpctl/dump-flows", "ovs-dummy"),
    ("dpctl/dump-flows", "type=,ovs"),
    ("dpctl/dump-flows", "type="),
    ("dpctl/dump-flows", "type=ovs,"),
    ("dpctl/get-flow", "ufid:1"),
    *(
        ("dpctl/ct-set-limits", *words.split())
        for words in (
            "zone=x,limit=3",
            "limit=3",
            "zone=1",
            "zone=1,limit=x",
            "zone=65536,limit=3",
            "zone=1,limit=3,foo",
            "zone=1,limit=3,foo=5",
            "zone=1,limit=",
            "xyz",
            "default=x",
            "default=-x",
            "default=-1",
            "zone=1,limit=-1",
            "default=3 default=4",
            "zone=1,limit=5 default=3",
            "limit=3,zone=1",
            "zone=2,zone=3,limit=4",
            "default=3 zone=5,limit=6",
        )
    ),
    ("dpctl/ct-get-limits",),
    ("dpctl/ct-get-limits", "zone=x"),
    ("dpctl/ct-get-limits", "xyz"),
    ("dpctl/flush-conntrack", "ct_nw_src=1.1.1.1,ct_ipv6_dst=fe80::2,ct_nw_proto=17"),
    ("dpctl/dump-conntrack", "zone=xyz"),
    ("dpctl/ct-bkts", "gt=xyz"),
    ("dpctl/ct-get-limits", "zone=5,xyz"),
    ("dpctl/ct-del-limits", "zone=5,xyz"),
    ("dpctl/ipf-set-min-frag", "v4", "100"),
    ("dpctl/ipf-set-min-frag", "v5", "1280"),
    ("dpctl/ipf-set-max-nfrags", "5001"),
    ("ovs/route/add", "1.1.4.0/24", "br0", "pkt_mark=xyz"),
    ("ovs/route/add", "1.1.4.0/24", "br0", "fe80::1"),
    ("ovs/route/add", "fe80::/64", "br0", "1.1.4.1"),
    ("ovs/route/add", "1.1.4.0/24", "br0", "1.1.4.1", "xyz"),
    ("tnl/neigh/set", "br0", "1.1.4.1", "ff:ff:ff:ff:ff:ff"),
    ("tnl/neigh/set", "br0", "1.1.4.1", "xyz"),
    ("tnl/neigh/show",),
    ("bfd/set-forwarding", "xyz", "true"),
    ("bfd/show", "xyz"),
    ("netdev-dummy/ip4addr", "p1", "xyz"),
    ("netdev-dummy/receive", "p1", "xyz"),
    ("netdev-dummy/conn-state", "xyz"),
    ("netdev-dummy/set-admin-state", "xyz", "up"),
    ("fdb/add", "br0", "p1", "2", "3"),
    ("dpctl/normalize-actions", FLOW.format(5)),
    ("dpctl/normalize-actions", FLOW.format(5), "2,1"),
    ("dpctl/normalize-actions", f"{FRAME}(0x8847),mpls(label=1,tc=0,ttl=1,bos=1)", "2,3"),
)


def answer(switch, words):
    """Of an error, without the line that names the daemon."""
    try:
        return switch.run("ovs-appctl", *words).splitlines()
    except CommandFailed as error:
        return ["failed", *str(error).splitlines()[1:-1]]
    except subprocess.CalledProcessError as error:
        return ["failed", *error.stdout.splitlines(), *error.stderr.splitlines()[:-1]]


def test_what_is_answered_to_odd_commands(both):
    for switch in both:
        switch.run("ovs-vsctl", *f"{PLAIN} -- set bridge br0 fail_mode=secure".split())
        switch.run("ovs-appctl", "revalidator/pause")  # flows of dpctl are deleted otherwise
    for words in ANSWERS:
        mine, theirs = (answer(switch, words) for switch in both)
        assert mine == theirs, words


def shape(line):
    """Of a line: what is no number, and where columns are; of a histogram, where its bins end."""
    cells = re.split(r"  +(?=\S)", line.strip())
    is_bins = re.match(r"   (\d+|>) +\d+  +(\d+|>) +\d+  .*\d *$", line) and len(cells) == 14
    if is_bins:
        return cells[::2], len(line)
    return re.sub(r" *\d[\d.:]*", "#", line.rstrip()), line.startswith("   ") and len(line)


PMD_PORTS = (
    "-- set Interface p1 type=dummy-pmd -- set Interface p2 type=dummy"
    " -- set Open_vSwitch . other_config:pmd-perf-metrics=true"
)


def test_what_iterations_cost_is_told_alike(both):
    shown = []
    for switch in both:
        words = f"{BRIDGE} -- add-port br0 p1 -- add-port br0 p2 {PMD_PORTS}"
        switch.run("ovs-vsctl", *words.split())
        for _ in range(4):
            switch.run("ovs-appctl", "netdev-dummy/receive", "p1", FLOW.format(9))
        asked = functools.partial(switch.run, "ovs-appctl", "dpif-netdev/pmd-perf-show")
        histories = functools.partial(asked, "-it", "2", "-ms", "2")
        assert wait_until(functools.partial(sent, histories), what="what is sent")
        shown.append([shape(line) for line in histories().splitlines()])
        assert "Histograms" not in asked("-nh")
    mine, theirs = shown
    assert mine == theirs
    assert sum(isinstance(each, list) for each, _ in mine) == 32


def suspicions(switch, name):
    """Lines of the log about them, without numbers, and how many rows the first table has."""
    log = Path(switch.rundir, name).read_text()
    warned = [line.split("|", 4)[-1] for line in log.splitlines() if "uspicious iter" in line]
    tables = re.findall(r"Neighborhood of suspicious iteration:\n((?: .*\n)+)", log)
    shapes = [shape(line) for line in tables[0].splitlines()] if tables else []
    return {re.sub(r"\d+", "#", line) for line in warned}, shapes


LOGGING = (
    ("on", "-b", "x"),
    ("-b",),
    ("maybe",),
    ("-us", "-1"),
    ("-q", "7", "-a", "2000", "-b", "4294967295", "off"),
    ("on", "-us", "0", "-b", "1", "-a", "2", "-e", "-ne"),
)


def logged(switch, logs):
    """What they answer to LOGGING, and what comes to stand in the log."""
    words = f"{BRIDGE} -- add-port br0 p1 -- add-port br0 p2 {PMD_PORTS}"
    switch.run("ovs-vsctl", *words.split())
    command = "dpif-netdev/pmd-perf-log-set"
    answers = [answer(switch, (command, *each)) for each in LOGGING]
    for _ in range(4):
        switch.run("ovs-appctl", "netdev-dummy/receive", "p1", FLOW.format(9))
    assert wait_until(lambda: suspicions(switch, logs)[1], what="a table in the log")
    settings = Path(switch.rundir, "ovs-vswitchd.log").read_text()
    switch.run("ovs-appctl", command, "off")
    return answers, re.findall("perf-log-set: .*", settings), suspicions(switch, logs)


def test_suspicious_iterations_are_logged_alike(tmp_path):
    logs = ("pyvs-datapath.log", "ovs-vswitchd.log")
    with side_by_side(tmp_path, "--enable-dummy", "--disable-system") as both:
        mine, theirs = map(logged, both, logs)
    assert mine == theirs


def sent(ask):
    return re.search(r"Tx packets: +[1-9]", ask())


REFUSED = "set port p1 protected=true -- set port p2 protected=true -- --id=@p get port p5"
MIRROR = "--id=@m create mirror name=m select_all=true output_port=@p -- set bridge br0 mirrors=@m"


def test_what_is_refused_is_traced_alike(both):
    """Between protected ports, and from the port that a mirror goes out by, whose packets count."""
    found = []
    for switch in both:
        ports = " ".join(f"-- add-port br0 p{number}" for number in (1, 2, 5))
        switch.run("ovs-vsctl", *f"{BRIDGE} {ports}".split())
        for number in (1, 2, 5):
            words = f"set interface p{number} type=dummy ofport_request={number}"
            switch.run("ovs-vsctl", *words.split())
        switch.run("ovs-vsctl", *f"{REFUSED} -- {MIRROR}".split())
        traces = [
            answer(switch, ("ofproto/trace", "br0", f"in_port={port},dl_dst=02:00:00:00:00:09"))
            for port in (1, 5)
        ]
        switch.run("ovs-appctl", "netdev-dummy/receive", "p5", FLOW.format(9).replace("(1)", "(5)"))
        flows = functools.partial(switch.run, "ovs-ofctl", "dump-flows", "br0")
        assert wait_until(lambda: "n_packets=1," in flows(), what="a packet that counts")  # noqa: B023
        found.append(traces)
    assert found[0] == found[1]


TREES = (  # the tree, what its bridge is told, and its port; rstp-port-priority: 33 is rounded
    ("rstp", "rstp-max-age=99 rstp-forward-delay=1 rstp-priority=100000", "rstp-path-cost=0"),
    ("rstp", "rstp-max-age=40 rstp-forward-delay=30 rstp-priority=65535", "rstp-port-priority=250"),
    ("rstp", "rstp-max-age=40 rstp-transmit-hold-count=99", "rstp-port-priority=33"),
    ("rstp", "rstp-max-age=20 rstp-forward-delay=4", "rstp-path-cost=200000001"),
    ("rstp", "rstp-max-age=6 rstp-forward-delay=4", "rstp-path-cost=7"),
    ("stp", "stp-priority=99999 stp-max-age=5", "stp-path-cost=70000 stp-port-priority=300"),
    ("stp", "stp-priority=-1 stp-max-age=40 stp-forward-delay=4", "stp-port-priority=-2"),
    ("stp", "stp-max-age=6 stp-forward-delay=40", "stp-path-cost=-1"),
)


def test_trees_out_of_range_are_told_alike(both):
    def told(switch, tree, bridge, port):
        options = [f"other_config:{each}" for each in bridge.split()]
        members = [f"other_config:{each}" for each in port.split()]
        switch.run("ovs-vsctl", "set", "bridge", "br0", f"{tree}_enable=true", *options)
        # After a second look, Open vSwitch has times that waited for one another.
        switch.run("ovs-vsctl", "set", "port", "p1", *members)
        shown = answer(switch, (f"{tree}/show", "br0"))
        end = ("set", "bridge", "br0", f"{tree}_enable=false")
        keys = [each.split("=")[0] for each in bridge.split()]
        clear = ("remove", "bridge", "br0", "other_config", *keys)
        switch.run("ovs-vsctl", *end, "--", *clear, "--", "clear", "port", "p1", "other_config")
        return shown

    for switch in both:
        words = f"{BRIDGE} -- add-port br0 p1 -- set interface p1 type=dummy ofport_request=1"
        switch.run("ovs-vsctl", *words.split())
    for each in TREES:
        mine, theirs = (told(switch, *each) for switch in both)
        assert mine == theirs, each


def test_no_lacp_under_what_is_no_address(both):
    """And with it again, once the address is one."""
    found = []
    for switch in both:
        words = f"{BRIDGE} {BOND} other_config:lacp-system-id=zz -- set interface p5 type=dummy"
        switch.run("ovs-vsctl", *f"{words} -- set interface p6 type=dummy".split())
        shown = []
        for system in ("00:00:00:00:00:00", "aa:bb:cc:dd:ee:01", "nonsense"):
            lines = answer(switch, ("lacp/show", "bond0"))
            shown += [line for line in lines if "no such" in line or line.startswith("  sys_id")]
            shown.append(answer(switch, ("bond/show", "bond0"))[7])
            system = f'other_config:lacp-system-id="{system}"'
            switch.run("ovs-vsctl", "set", "port", "bond0", system)
        found.append((shown, answer(switch, ("lacp/show", "bond0"))))
    assert found[0] == found[1]
