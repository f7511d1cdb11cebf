"""Our programs under Open vSwitch's names, as scripts written for that call them."""

import functools
import os
import re
import subprocess

import pytest

from datapath.key import key_text
from datapath.key.compose import compose
from tests.daemons import BIN, CommandFailed, _alive, wait_until
from tests.ovs_names import Names

pytestmark = pytest.mark.system

PING = (
    "in_port(1),eth(src=50:54:00:00:00:01,dst=50:54:00:00:00:02),eth_type(0x0800),"
    "ipv4(src=10.0.0.1,dst=10.0.0.2,proto=1,tos=0,ttl=64,frag=no),icmp(type=8,code=0)"
)


@pytest.fixture
def names(tmp_path):
    made = Names(tmp_path)
    yield made
    made.close()


def test_a_program_goes_by_the_name_that_it_was_called_by(names):
    for program in ("ovs-vsctl", "ovs-ofctl", "ovs-vswitchd", "ovsdb-server", "ovsdb-tool"):
        assert re.match(rf"{program} \(Open vSwitch\) \d+\.\d+\.\d+\n", names.run(program, "-V"))
    assert re.search(r"^DB Schema \d+\.\d+\.\d+$", names.run("ovs-vsctl", "-V"), re.MULTILINE)
    with pytest.raises(Exception, match=r"ovs-vsctl: .*/run/db.sock"):
        names.run("ovs-vsctl", "show")
    names.start()
    assert {"ovs-vswitchd.log", "ovsdb-server.log"} <= {p.name for p in names.rundir.iterdir()}
    assert (names.rundir / f"ovs-vswitchd.{names.pid('ovs-vswitchd')}.ctl").is_socket()
    assert names.run("ovs-appctl", "version").startswith("ovs-vswitchd (Open vSwitch) ")
    for target in ("ovs-vswitchd", "ovsdb-server"):
        names.run("ovs-appctl", "-t", target, "vlog/set", "socket_util:file:dbg")
        levels = names.run("ovs-appctl", "-t", target, "vlog/list")
        assert re.search(r"^socket_util +OFF +\S+ +DBG$", levels, re.MULTILINE)


def test_vswitchd_has_a_datapath_process_as_long_as_it_lives(names):
    names.start()
    names.run("ovs-vsctl", "add-br", "br0")
    assert "br0 65534/1: (tap)" in names.run("ovs-appctl", "dpif/show")
    vswitchd, datapath = names.pid("ovs-vswitchd"), names.pid("pyvs-datapath")
    names.run("ovs-appctl", "exit", "--cleanup")
    wait_until(lambda: not _alive(vswitchd) and not _alive(datapath), what="the end of both")


def test_the_directory_it_is_started_in_gives_no_code(names, tmp_path, monkeypatch):
    """Who starts the switch may be anywhere, in others' directories, too."""
    for name in ("datapath", "ovs", "pyvs", "socket", "datapath.main"):
        (tmp_path / f"{name}.py").write_text(f"open('{tmp_path}/ran', 'w')\n")
    monkeypatch.chdir(tmp_path)
    names.start()
    names.run("ovs-vsctl", "add-br", "br0")
    assert "br0 65534/1: (tap)" in names.run("ovs-appctl", "dpif/show")
    assert not (tmp_path / "ran").exists()


def test_ovs_ctl(names):
    names.run("ovs-ctl", "--system-id=random", "load-kmod")
    names.run("ovs-ctl", "--system-id=random", "--no-mlockall", "--no-monitor", "start")
    assert "ovs-vswitchd is running with pid" in names.run("ovs-ctl", "status")
    names.run("ovs-vsctl", "get", "Open_vSwitch", ".", "external_ids:system-id")
    names.run("ovs-ctl", "stop")
    assert not (names.rundir / "ovs-vswitchd.pid").exists()


def test_dummy_ports(names):
    """What netdev-dummy/receive is given has been forwarded, and is in the files, at once."""
    names.start("--enable-dummy", "--disable-system")
    sent = names.rundir / "sent.pcap"
    add = ["--", "add-port", "br0", "p1", "--", "set", "Interface", "p1", "type=dummy"]
    add += ["--", "add-port", "br0", "p7", "--", "set", "Interface", "p7", "type=dummy"]
    add += ["ofport_request=7", f"options:tx_pcap={sent}", "--", "add-port", "br0", "eth0"]
    names.run("ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy",
              "fail_mode=secure", "other_config:hwaddr=aa:55:aa:55:00:00", *add)  # fmt: skip
    shown = names.run("ovs-appctl", "dpif/show").splitlines()
    assert shown[0].startswith("dummy@ovs-dummy: hit:")
    assert [line.strip() for line in shown[2:]] == [
        "br0 65534/100: (dummy-internal)", "p1 1/1: (dummy)", "p7 7/7: (dummy)"
    ]  # fmt: skip
    assert "Address family not" in names.run("ovs-vsctl", "get", "Interface", "eth0", "error")
    names.run("ovs-ofctl", "add-flow", "br0", "in_port=1,actions=7")
    names.run("ovs-appctl", "time/stop")
    for _ in range(2):
        names.run("ovs-appctl", "netdev-dummy/receive", "p1", PING)
    key, _mask = key_text.parse_key(PING)
    assert sent.read_bytes().count(compose(key)) == 2
    dumped = names.run("ovs-appctl", "dpctl/dump-flows")
    assert "packets:1, bytes:106, used:0.000s, actions:7" in dumped
    names.run("ovs-appctl", "time/warp", "5000", "1000")
    assert "used:5.000s" in names.run("ovs-appctl", "dpctl/dump-flows")
    assert "n_packets=2" in names.run("ovs-ofctl", "dump-flows", "br0")
    other = names.rundir / "other.pcap"
    names.run("ovs-vsctl", "set", "Interface", "p7", f"options:tx_pcap={other}")
    names.run("ovs-appctl", "netdev-dummy/receive", "p1", PING)
    assert [each.read_bytes().count(compose(key)) for each in (sent, other)] == [2, 1]
    assert "tx pkts=3" in names.run("ovs-ofctl", "dump-ports", "br0", "7")  # it is the same port
    names.run("ovs-appctl", "netdev-dummy/set-admin-state", "p7", "down")
    assert re.search(r"7\(p7\).*\n.*PORT_DOWN\n.*LINK_DOWN", names.run("ovs-ofctl", "show", "br0"))
    # What a PORT_MOD does is in the database at once: no interval ends while the clock stands.
    names.run("ovs-ofctl", "mod-port", "br0", "p1", "down")
    told = ("wait-until", "Interface", "p1", "admin_state=down", "link_state=down")
    names.run("ovs-vsctl", "--timeout=10", *told)


TAGGED = (
    "in_port(1),eth(src=50:54:00:00:00:01,dst=50:54:00:00:00:02),eth_type(0x8100),"
    "vlan(vid=9,pcp=3),encap(eth_type(0x86dd),ipv6(src=2001:db8::7,dst=2001:db8::8,label=0,"
    "proto=6,tclass=0,hlimit=9,frag=no),tcp(src=1,dst=2),tcp_flags(syn))"
)


def test_what_is_told_of_upcalls_and_flows(names):
    """`vlog/set dpif:dbg dpif_netdev:dbg`; flows are shown with the packet's own values."""
    names.start("--enable-dummy", "--disable-system")
    names.run("ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy",
              "fail_mode=secure", *[word for n in "12" for word in (
                  "--", "add-port", "br0", f"p{n}", "--", "set", "Interface", f"p{n}",
                  "type=dummy")])  # fmt: skip
    # On a machine that is busy the commands below take longer than flows may be idle.
    names.run("ovs-vsctl", "set", "Open_vSwitch", ".", "other_config:max-idle=600000")
    names.run("ovs-appctl", "vlog/set", "dpif:file:dbg", "dpif_netdev:file:dbg")
    names.run("ovs-appctl", "vlog/set", "PATTERN:ANY:%c|%p|%m")
    names.run("ovs-ofctl", "add-flow", "br0", "ipv6,ipv6_src=2001:db8::/32,actions=2")
    names.run("ovs-appctl", "netdev-dummy/receive", "p1", TAGGED)
    names.run("ovs-ofctl", "add-flow", "br0", "priority=40000,actions=2,local")
    names.run("ovs-appctl", "revalidator/wait")
    names.run("ovs-ofctl", "add-flow", "br0", "ip,actions=set_field:9.9.9.9->ip_dst,debug_recirc,2")
    names.run("ovs-ofctl", "del-flows", "--strict", "br0", "priority=40000")
    names.run("ovs-appctl", "revalidator/wait")
    names.run("ovs-appctl", "netdev-dummy/receive", "p1", PING)
    log = (names.rundir / "ovs-vswitchd.log").read_text()
    lines = log.splitlines()
    at = lines.index("dpif_netdev|DBG|ovs-dummy: miss upcall:")
    key = lines[at + 1]
    assert key.startswith("skb_priority(0),skb_mark(0),ct_state(0),") and key.endswith(
        TAGGED.partition("eth(")[2].replace("tcp_flags(syn))", "ipv6_exthdr(0),").split("tcp(")[0]
        + "ipv6_exthdr(0),tcp(src=1,dst=2),tcp_flags(syn))"
    )
    added = [line.partition("flow_add: ")[2] for line in lines if "|flow_add: " in line]
    seen = re.sub(r"^ufid:\S+ mega_ufid:\S+ ", "", added[0])
    flow = (
        "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x8100),vlan(vid=9,pcp=3/0x0),"
        "encap(eth_type(0x86dd),ipv6(src=2001:db8::7/ffff:ffff::,frag=no))"
    )
    assert seen == f"{flow}, actions:2"
    changed, restored = [line for line in lines if "put[modify]" in line]
    assert changed.startswith("dpif|DBG|dummy@ovs-dummy: put[modify] ufid:")
    assert "hlimit=9/0," in changed and changed.endswith("actions:2,100")
    assert restored.endswith("actions:2")
    told = r"^dpif\|DBG\|dummy@ovs-dummy: flow_dump skb_priority.*hlimit=9/0,.*, actions:2,100$"
    assert re.search(told, log, re.MULTILINE)
    assert flow in names.run("ovs-appctl", "dpctl/dump-flows")
    rest = [re.sub(r".*mega_ufid:\S+ ", "", line) for line in added[1:]]
    # The address is written where it is known that there is a header: its protocol is matched.
    assert rest[0].endswith("ipv4(dst=10.0.0.2,proto=1,frag=no), actions:set(ipv4(dst=9.9.9.9)),"
                            "recirc(0x1)")  # fmt: skip
    assert rest[1].startswith("recirc_id(0x1),in_port(1)") and rest[1].endswith("actions:2")


def test_what_is_told_of_workers_and_of_packets_given_up(names):
    names.start("--enable-dummy", "--disable-system")
    names.run("ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy",
              "fail_mode=secure", "--", "add-port", "br0", "p1", "--", "set", "Interface", "p1",
              "type=dummy-pmd")  # fmt: skip
    appctl = functools.partial(names.run, "ovs-appctl")
    assert re.search(r"port: p1 +queue-id: +0 ", appctl("dpif-netdev/pmd-rxq-show"))
    assert "p1 1/1: (dummy-pmd: configured_rx_queues=1," in appctl("dpif/show")
    names.run("ovs-ofctl", "add-flow", "br0", "actions=resubmit(,0)")
    appctl("netdev-dummy/receive", "p1", PING)
    counted = appctl("dpif-netdev/pmd-stats-show")
    assert "packets received: 1\n" in counted and "miss with success upcall: 1\n" in counted
    appctl("dpif-netdev/pmd-stats-clear")
    assert "packets received: 0\n" in appctl("dpif-netdev/pmd-stats-show")
    log = (names.rundir / "ovs-vswitchd.log").read_text()
    assert "Recursion too deep, packet is dropped:" in log
    assert log.count("    resubmit(,0)\n") > 60
    # While nothing is revalidated, flows that nobody here made stay.
    appctl("revalidator/pause")
    flow = "in_port(1),eth_type(0x1234)"
    appctl("dpctl/add-flow", flow, "1")
    # They are shown as they were given; which bits count is in the mask.
    shown = "in_port(1),eth(),eth_type(0x0800),ipv4(src=10.0.0.9/255.255.255.0)"
    appctl("dpctl/add-flow", shown, "1")
    assert f"recirc_id(0),{shown}, packets:0" in appctl("dpctl/dump-flows")
    appctl("dpctl/del-flow", shown.replace(".9/", ".8/"))
    assert "10.0.0." not in appctl("dpctl/dump-flows")
    appctl("time/stop")
    appctl("time/warp", "5000", "500")
    assert "eth_type(0x1234)" in appctl("dpctl/dump-flows")
    appctl("revalidator/resume")
    appctl("time/warp", "5000", "500")
    assert "eth_type(0x1234)" not in appctl("dpctl/dump-flows")


def test_workers_of_a_further_datapath(names):
    """A port that always has a worker for a core has one there, too, as long as it is there."""
    names.start("--enable-dummy", "--disable-system", "--dummy-numa", "0,1")
    appctl = functools.partial(names.run, "ovs-appctl")
    appctl("dpctl/add-dp", "dummy@dp0", "p2,type=dummy")
    assert appctl("dpif-netdev/pmd-rxq-show", "dp0").count("\n") == 1
    appctl("dpctl/add-if", "dummy@dp0", "p1,type=dummy-pmd,n_rxq=2")
    shown = appctl("dpif-netdev/pmd-rxq-show", "dummy@dp0")
    assert re.findall(r"core_id (\d):|port: (\S+) +queue-id: +(\d)", shown) == [
        ("0", "", ""), ("", "p1", "0"), ("", "p1", "1"), ("1", "", ""),
    ]  # fmt: skip
    assert "core_id" not in appctl("dpif-netdev/pmd-rxq-show", "ovs-dummy")
    appctl("dpctl/add-flow", "dummy@dp0", "in_port(2),eth(),eth_type(0x1234)", "1")
    of_all = appctl("dpctl/dump-flows", "dummy@dp0")
    assert [line for line in of_all.splitlines() if "flow-dump" in line] == [
        "flow-dump from pmd on cpu core: 0", "flow-dump from pmd on cpu core: 1",
        "flow-dump from the main thread:",
    ]  # fmt: skip
    for core in ("0", "1", "-1"):
        assert appctl("dpctl/dump-flows", "dummy@dp0", f"pmd={core}").count("actions:1") == 1
    assert appctl("dpctl/dump-flows", "dummy@dp0", "pmd=2") == ""
    assert "packets received: 0" in appctl("dpif-netdev/pmd-stats-show", "-pmd", "1", "dp0")
    with pytest.raises(CommandFailed, match="specify an existing datapath"):
        appctl("dpif-netdev/pmd-rxq-show", "nosuch")
    appctl("dpctl/del-if", "dummy@dp0", "p1")
    assert "core_id" not in appctl("dpif-netdev/pmd-stats-show", "dp0")


def test_dummies_with_a_cable(names):
    names.start("--enable-dummy", "--disable-system")
    cable = names.rundir / "cable"
    words = []
    for bridge, ports in (("br0", ("p1", "p2")), ("br1", ("p3", "p4"))):
        words += ["--", "add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=dummy"]
        for port in ports:
            words += ["--", "add-port", bridge, port, "--", "set", "Interface", port, "type=dummy"]
    words += ["--", "set", "Interface", "p2", f"options:pstream=punix:{cable}"]
    words += ["--", "set", "Interface", "p3", f"options:stream=unix:{cable}"]
    names.run("ovs-vsctl", *words[1:])
    state = ("ovs-appctl", "netdev-dummy/conn-state")
    wait_until(lambda: names.run(*state, "p3") == "p3: connected\n", what="the cable")
    assert names.run(*state, "p1") == "p1: unknown\n"
    names.run("ovs-appctl", "netdev-dummy/receive", "p1", PING)
    learned = ("ovs-appctl", "fdb/show", "br1")
    wait_until(lambda: "50:54:00:00:00:01" in names.run(*learned), what="the packet")


def test_names_that_are_taken_are_left_alone(tmp_path):
    (tmp_path / "ovs-vsctl").write_text("somebody's own")
    done = subprocess.run([BIN / "pyvs-ctl", "ovs-names", tmp_path], capture_output=True, text=True)
    assert done.returncode == 1 and "ovs-vsctl is there" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["ovs-vsctl"]


def test_a_monitor_resumes_packets(names):
    """It gets them without having said how much of them it wants."""
    names.start("--enable-dummy", "--disable-system")
    add = [
        w for n in "12" for w in f"-- add-port br0 p{n} -- set Interface p{n} type=dummy".split()
    ]
    names.run("ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy",
              "fail_mode=secure", *add)  # fmt: skip
    names.run("ovs-ofctl", "add-flow", "br0", "in_port=1,actions=controller(pause),resubmit(,2)")
    names.run("ovs-ofctl", "add-flow", "br0", "table=2,actions=2")
    monitor = f"{names.bin}/ovs-ofctl monitor br0 resume --detach --no-chdir --pidfile"
    names.host.run("bash", "-c", f"{monitor} >/dev/null 2>&1", env=names.environment)
    try:
        names.run("ovs-appctl", "netdev-dummy/receive", "p1", PING)
        passed = r"table=2, n_packets=1,"
        wait_until(
            lambda: re.search(passed, names.run("ovs-ofctl", "dump-flows", "br0")),
            what="the packet",
        )
    finally:
        os.kill(names.pid("ovs-ofctl"), 15)
