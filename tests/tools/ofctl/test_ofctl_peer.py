"""pyvs-ofctl beside ovs-ofctl on the same Open vSwitch: the same output, the same effect."""

import json
import os
import subprocess
import sys

import pytest

from tests.tools.ofctl_peers import OpenVSwitch, needs_ovs, ours, steady, theirs

pytestmark = [needs_ovs, pytest.mark.peer]

FLOWS = [
    "priority=0,actions=NORMAL",
    "table=1,cookie=0x10,tcp,nw_src=10.0.0.0/8,tp_dst=80,actions=output:2,LOCAL",
    "table=1,cookie=0x11,tcp6,ipv6_dst=fe80::1,tp_src=5,idle_timeout=500,actions=CONTROLLER:20",
    "table=2,in_port=1,dl_vlan=5,dl_vlan_pcp=3,hard_timeout=600,actions=strip_vlan,IN_PORT",
    "table=2,vlan_tci=0,actions=mod_vlan_vid:7,output:1",
    "table=3,priority=7,arp,arp_op=1,arp_spa=1.2.3.4,send_flow_rem,actions=resubmit(,4)",
    "table=3,reg0=5/0xff,metadata=7,tun_id=9,actions=load:1->NXM_NX_REG1[0..7],set_tunnel:5",
    "table=3,udp,nw_tos=32,nw_ecn=1,nw_ttl=3,ip_frag=first,actions=dec_ttl,drop"
    .replace("dec_ttl,drop", "dec_ttl,enqueue:1:2"),
    "table=4,dl_type=0x1234,actions=goto_table:9",
    "table=4,icmp6,icmp_type=135,icmp_code=0,nd_target=::5,actions=set_field:5->reg5,output:2",
    "table=5,dl_src=02:00:00:00:00:01/ff:ff:00:00:00:00,actions=mod_dl_dst:01:02:03:04:05:06,FLOOD",
    "table=6,mpls,mpls_label=5,actions=write_metadata:0x5/0xff",
]  # fmt: skip
VERSIONS = [(), ("-OOpenFlow13",)]
IDS = ["1.0", "1.3"]
# Four kinds of 1.0's flow format
FORMATS = ["OpenFlow10-table_id", "OpenFlow10+table_id", "NXM-table_id", "NXM", "any"]


@pytest.fixture(scope="module")
def switch():
    running = OpenVSwitch()
    yield running
    running.stop()


@pytest.fixture
def loaded(switch):
    switch.reset(*FLOWS)
    return switch


def both(*arguments, text=""):
    """The (status, output) of both programs, times taken out."""
    mine, other = ours(*arguments, text=text), theirs(*arguments, text=text)
    return (mine[0], steady(mine[1])), (other[0], steady(other[1]))


def same(*arguments, text=""):
    mine, other = both(*arguments, text=text)
    assert mine == other


SHOWS = [
    ("show",), ("dump-desc",), ("dump-tables",), ("dump-ports",), ("dump-ports", "p2"),
    ("dump-ports", "LOCAL"), ("dump-ports", "2"), ("dump-ports", "77"), ("dump-ports-desc",),
    ("dump-ports-desc", "p1"), ("queue-stats",), ("queue-stats", "p1"), ("queue-stats", "1", "0"),
    ("queue-stats", "ALL", "ALL"), ("queue-get-config",), ("queue-get-config", "p2"),
    ("get-frags",), ("dump-flows",), ("dump-flows", "tcp"), ("dump-flows", "table=3"),
    ("dump-flows", "cookie=0x10/-1"), ("dump-flows", "out_port=2"), ("dump-flows", "in_port=p1"),
    ("dump-flows", "table=1,tcp,tp_dst=80,nw_src=10.0.0.0/8"), ("dump-flows", "reg0=5"),
    ("dump-aggregate",), ("dump-aggregate", "arp"), ("dump-aggregate", "cookie=0x10/0xf0"),
]  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS, ids=IDS)
@pytest.mark.parametrize("words", SHOWS, ids=" ".join)
def test_output(loaded, version, words):
    command, *rest = words
    same(*version, command, loaded.br0, *rest)


OPTIONS = [
    ("--no-stats",), ("--names",), ("--no-names",), ("--sort",), ("--rsort",), ("--sort=priority",),
    ("--sort=tcp_dst", "--rsort"), ("--rsort=in_port",), ("--sort=nw_ttl", "--names"), ("-m",),
    ("-m", "-m", "-m"), ("--names", "--no-stats"), ("--color=never",),
]  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS, ids=IDS)
@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_options_of_dump_flows(loaded, version, options):
    same(*version, "dump-flows", loaded.br0, *options)


@pytest.mark.parametrize("flow_format", FORMATS)
def test_formats_of_dump_flows(loaded, flow_format):
    same("-F", flow_format, "dump-flows", loaded.br0)
    same("-F", flow_format, "dump-aggregate", loaded.br0, "tcp")


def test_version_10(loaded):
    """What is taken without -O, where the bridge has it."""
    for command in ("show", "dump-flows", "dump-ports"):
        assert steady(ours("-OOpenFlow10", command, loaded.br0)[1]) == steady(
            ours(command, loaded.br0)[1]
        )


def test_names(loaded):
    for command in ("dump-ports", "queue-stats"):
        same("--names", command, loaded.br0)


@pytest.mark.parametrize("command", ["dump-table-features", "dump-groups", "dump-group-stats",
                                     "dump-group-features", "dump-meters", "meter-stats",
                                     "meter-features"])  # fmt: skip
def test_commands_of_13(switch, command):
    same("-OOpenFlow13", command, switch.br0)
    # Without a version, ours takes the one that has the command.
    assert ours(command, switch.br0)[0] == 0


def test_groups_and_meters(switch):
    target = switch.br0
    for group in (
        "group_id=1,type=all,bucket=output:1,bucket=output:2",
        "group_id=2,type=select,bucket=weight:3,watch_port:1,actions=output:1",
    ):
        assert theirs("-OOpenFlow13", "add-group", target, group)[0] == 0
    meter = "meter=3,kbps,burst,stats,bands=type=drop,rate=100,burst_size=7"
    assert theirs("-OOpenFlow13", "add-meter", target, meter)[0] == 0
    for words in (("dump-groups",), ("dump-group-stats",), ("dump-meters",), ("meter-stats",),
                  ("dump-group-stats", "group_id=1"), ("dump-meters", "meter=3")):  # fmt: skip
        command, *rest = words
        same("-OOpenFlow13", command, target, *rest)
    theirs("-OOpenFlow13", "del-groups", target)
    theirs("-OOpenFlow13", "del-meters", target)


# What changes a switch


MODS = [
    ("add-flow", "tcp,tp_dst=99,actions=output:1"),
    ("add-flow", "table=9,priority=3,cookie=5,idle_timeout=7,hard_timeout=8,send_flow_rem,"
                 "in_port=p1,actions=p2"),
    ("add-flow", "reg3=5,actions=exit"),
    ("add-flow", "actions=drop"),
    ("mod-flows", "tcp,actions=output:1"),
    ("mod-flows", "table=1,actions=output:1"),
    ("mod-flows", "cookie=0x10/-1,cookie=0x99,actions=output:1"),
    ("mod-flows", "udp,tp_dst=5,actions=output:1"),
    ("--strict", "mod-flows", "priority=7,table=3,arp,arp_op=1,arp_spa=1.2.3.4,actions=2"),
    ("--strict", "mod-flows", "priority=8,table=3,arp,arp_op=1,arp_spa=1.2.3.4,actions=2"),
    ("del-flows",),
    ("del-flows", "tcp"),
    ("del-flows", "table=2"),
    ("del-flows", "table=1,tcp6"),
    ("del-flows", "cookie=0x10/0xf0"),
    ("del-flows", "out_port=LOCAL"),
    ("del-flows", "in_port=p1"),
    ("--strict", "del-flows", "priority=0"),
    ("--strict", "del-flows", "table=3,priority=7,arp,arp_op=1,arp_spa=1.2.3.4"),
]  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS, ids=IDS)
@pytest.mark.parametrize("words", MODS, ids=" ".join)
def test_same_effect(loaded, version, words):
    at = 1 + words[0].startswith("--")
    command = (*version, *words[:at], loaded.br0, *words[at:])
    assert ours(*command) == (0, "", "")
    mine = loaded.flows()
    loaded.reset(*FLOWS)
    assert theirs(*command)[0] == 0
    assert mine == loaded.flows()


FILE = """\
# a comment
add table=8,tcp,actions=output:1   # and another
delete arp,table=3

modify table=1,tcp,actions=drop
modify_strict table=1,tcp,actions=output:1
delete_strict table=6,mpls,mpls_label=5
in_port=p2,actions=p1
"""


@pytest.mark.parametrize("version", VERSIONS, ids=IDS)
@pytest.mark.parametrize("command", ["add-flows", "add-flow"])
def test_files(loaded, version, command, tmp_path):
    path = tmp_path / "flows"
    path.write_text(FILE)
    for source, text in ((str(path), ""), ("-", FILE)):
        if command == "add-flow" and source != "-":
            continue
        loaded.reset(*FLOWS)
        assert ours(*version, command, loaded.br0, source, text=text) == (0, "", "")
        mine = loaded.flows()
        loaded.reset(*FLOWS)
        assert theirs(*version, command, loaded.br0, source, text=text)[0] == 0
        assert mine == loaded.flows()


def test_lines_of_standard_input(loaded):
    text = "table=1\ntable=2\n"
    assert ours("del-flows", loaded.br0, "-", text=text) == (0, "", "")
    mine = loaded.flows()
    loaded.reset(*FLOWS)
    assert theirs("del-flows", loaded.br0, "-", text=text)[0] == 0
    assert mine == loaded.flows()


WANTED = "\n".join([*FLOWS[2:8], FLOWS[1].replace("output:2", "output:1"), "udp,actions=output:2"])


@pytest.mark.parametrize("version", VERSIONS, ids=IDS)
@pytest.mark.parametrize("options", [(), ("--readd",)])
def test_replace_flows(loaded, version, options, tmp_path):
    path = tmp_path / "flows"
    path.write_text(WANTED)
    assert ours(*version, *options, "replace-flows", loaded.br0, path) == (0, "", "")
    mine = loaded.flows()
    assert ours(*version, "diff-flows", loaded.br0, path) == (0, "", "")
    assert ours(*version, "diff-flows", path, loaded.br0) == (0, "", "")
    if "-OOpenFlow13" in version:  # in 1.0 ovs-ofctl refuses to replace flows of several tables
        loaded.reset(*FLOWS)
        assert theirs(*version, *options, "replace-flows", loaded.br0, path)[0] == 0
        assert mine == loaded.flows()


def test_replace_flows_leaves_equal_ones(loaded, tmp_path):
    path = tmp_path / "flows"
    path.write_text("\n".join(FLOWS))
    ages = durations(loaded.br0)
    assert ours("-OOpenFlow13", "replace-flows", loaded.br0, path) == (0, "", "")
    assert all(map(float.__ge__, durations(loaded.br0), ages))


def durations(target):
    text = theirs("dump-flows", target)[1]
    return [float(part.partition("s,")[0]) for part in text.split("duration=")[1:]]


def sorted_diff(result):
    status, out, _err = result
    return status, sorted(out.splitlines())


@pytest.mark.parametrize("version", VERSIONS, ids=IDS)
def test_diff_flows(loaded, version, tmp_path):
    path, empty = tmp_path / "flows", tmp_path / "empty"
    path.write_text("tcp,actions=output:2\ntable=1,priority=3,cookie=5,udp,actions=drop\n")
    empty.write_text("")
    loaded.reset("tcp,actions=output:1", "arp,idle_timeout=99,actions=NORMAL")
    for pair in ((path, loaded.br0), (loaded.br0, path), (empty, path), (path, path),
                 (loaded.br0, loaded.br0), (loaded.br0, empty)):  # fmt: skip
        command = (*version, "diff-flows", *pair)
        assert sorted_diff(ours(*command)) == sorted_diff(theirs(*command))


def test_many_flows(switch, tmp_path):
    """More than one message of replies, and more than the sockets hold of requests."""
    path = tmp_path / "flows"
    lines = [f"tcp,tp_src={i},nw_src=10.0.{i >> 8}.{i & 255},actions=output:1" for i in range(2000)]
    path.write_text("\n".join(lines))
    switch.reset()
    assert ours("add-flows", switch.br0, path) == (0, "", "")
    assert len(switch.flows()) == len(lines)
    same("dump-flows", switch.br0)
    same("--sort=tcp_src", "dump-flows", switch.br0)
    assert ours("diff-flows", switch.br0, path) == (0, "", "")
    broken = [line.replace("actions=output:1", "actions=group:9") for line in lines]
    path.write_text("\n".join(broken))
    status, _out, said = ours("-OOpenFlow13", "add-flows", switch.br0, path)
    assert status == 1 and "OFPBAC_BAD_OUT_GROUP" in said


# Errors


@pytest.mark.parametrize("version", VERSIONS, ids=IDS)
def test_errors_of_the_switch(switch, version):
    switch.reset()
    for command in (("add-flow", switch.br0, "table=254,actions=drop"),
                    ("queue-stats", switch.br0, "1", "7")):  # fmt: skip
        found, wanted = ours(*version, *command), theirs(*version, *command)
        assert [*map(steady, found[1:])] == [*map(steady, wanted[1:])] and found[0] == wanted[0]


REFUSED = [
    ("add-flow", "foo=1,actions=1"), ("add-flow", "tcp"), ("add-flow", "in_port=zz,actions=1"),
    ("add-flow", "actions=zz"), ("add-flows", "/nonexistent"), ("del-flows", "cookie=1"),
    ("mod-port", "zz", "up"), ("mod-port", "77", "up"), ("mod-port", "p1", "foo"),
    ("dump-ports", "zz"), ("set-frags", "foo"), ("set-frags", "reassemble"), ("dump-flows", "zz=1"),
    ("mod-table", "3", "drop"), ("mod-table", "3", "evict"), ("mod-table", "3", "foo"),
    ("mod-table", "zz", "drop"), ("--sort=foo", "dump-flows"), ("-Ffoo", "dump-flows"),
    ("-OOpenFlow99", "show"), ("replace-flows", "/nonexistent"),
    ("packet-out", "1", "controller", "zz"), ("packet-out", "zz", "controller", "00"),
    ("packet-out", "1", "foo", "00"), ("packet-out", "in_port=1,actions=1"),
    ("packet-out", "in_port=1,packet=00,actions=1"),
    ("-FNXM", "-OOpenFlow13", "dump-flows"), ("-FOpenFlow10", "dump-flows", "reg0=3"),
]  # fmt: skip


@pytest.mark.parametrize("words", REFUSED, ids=" ".join)
def test_refused_with_the_same_words(switch, words):
    at = next(i for i, word in enumerate(words) if not word.startswith("-")) + 1
    command = (*words[:at], switch.br0, *words[at:])
    mine, other = ours(*command), theirs(*command)
    assert mine[0] == other[0] == 1
    assert mine[2].removeprefix("pyvs-") == other[2].removeprefix("ovs-")


@pytest.mark.parametrize("words", [
    ("show",), ("show", "a", "b"), ("nosuch", "br0"), ("add-flow", "br0"), (),
    ("show", "nosuchbridge"), ("--nosuch", "show", "br0"), ("-O", "OpenFlow99", "show", "br0"),
    ("show", "tcp:127.0.0.1:1"), ("--read-only", "add-flow", "br0", "actions=drop"),
])  # fmt: skip
def test_wrong_command_lines(words):
    mine, other = ours(*words), theirs(*words)
    assert mine[0] == other[0] == 1
    first = mine[2].splitlines()[0].removeprefix("pyvs-")
    assert first == other[2].splitlines()[0].removeprefix("ovs-")


# Ports, settings, packets


@pytest.mark.parametrize("version", VERSIONS, ids=IDS)
def test_mod_port(switch, version):
    words = ["down", "up", "no-flood", "flood", "no-forward", "forward", "no-receive", "receive",
             "no-packet-in", "packet-in", "no-stp", "stp", "no-receive-stp",
             "receive-stp"]  # fmt: skip
    for word in words:
        for port in ("p1", "2"):
            assert ours(*version, "mod-port", switch.br0, port, word) == (0, "", "")
        mine = theirs("dump-ports-desc", switch.br0)
        for port in ("p1", "2"):
            theirs(*version, "mod-port", switch.br0, port, word)
        assert steady(mine[1]) == steady(theirs("dump-ports-desc", switch.br0)[1]), word


def test_set_frags(switch):
    for mode in ("drop", "nx-match", "normal"):
        assert ours("set-frags", switch.br0, mode) == (0, "", "")
        assert theirs("get-frags", switch.br0)[1] == mode + "\n"


FRAME = "50540000000750540000000508060001080006040001505400000005c0a80001000000000000c0a80002"


@pytest.mark.parametrize("version", VERSIONS, ids=IDS)
def test_packet_out(switch, version):
    """Packets come back by the switch's own flow table."""
    switch.reset("table=0,actions=drop")
    target = switch.br0
    assert ours(*version, "packet-out", target, "LOCAL", "table", FRAME, FRAME) == (0, "", "")
    text = f"in_port=p1 packet={FRAME} packet_type=(0,0),metadata=5 actions=resubmit(,0)"
    assert ours(*version, "packet-out", target, text) == (0, "", "")
    _status, out, _err = theirs("dump-flows", target)
    assert "n_packets=3, n_bytes=126" in out
    switch.reset("table=0,metadata=0x5,actions=drop")
    assert ours("-OOpenFlow15", "packet-out", target, text) == (0, "", "")
    assert "n_packets=1, " in theirs("dump-flows", target)[1]
    for wrong, why in (("metadata=x", "metadata"), ("bad=1", "unknown keyword bad")):
        status, _out, err = ours("packet-out", target, f"packet={FRAME} {wrong} actions=drop")
        assert status == 1 and why in err


def watch(program, *arguments, environment=None):
    """A running monitor; its output is read from standard error."""
    command = [*program, *arguments]
    return subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )


OUR_PROGRAM = [sys.executable, "-c",
               "import sys; from pyvs_tools.ofctl.main import main; sys.exit(main())"]  # fmt: skip


@pytest.mark.parametrize("options", [(), ("-Pstandard",), ("-Pnxt_packet_in",), ("-OOpenFlow13",),
                                     ("-OOpenFlow13", "-Pstandard"), ("-m",)])  # fmt: skip
def test_monitor(switch, options):
    """Both watch the same packets and the same end of a flow."""
    switch.reset("table=0,actions=controller")
    programs = (OUR_PROGRAM, ["ovs-ofctl", "-vconsole:off"])
    running = [
        watch(each, *options, "monitor", switch.br0, "65535", environment=switch.environment)
        for each in programs
    ]
    try:
        texts = []
        for process in running:
            _until(process, switch, "probe", texts)
        # Both are there by now: this one both see.
        theirs("add-flow", switch.br0, "priority=7,tcp,send_flow_rem,actions=drop")
        ours("packet-out", switch.br0, "p1", "table", FRAME)
        ours("packet-out", switch.br0, "1", "controller", FRAME[:-8] + "01020304")
        theirs("--strict", "del-flows", switch.br0, "priority=7,tcp")
        for process in running:
            texts.append(_lines_to(process, "FLOW_REMOVED"))
    finally:
        for process in running:
            process.kill()
            process.communicate()
    assert steady(_last_packets(texts[-2])) == steady(_last_packets(texts[-1]))
    assert "arp_tpa=1.2.3.4" in texts[-1]


def _until(process, switch, what, texts):
    """Make packets until the monitor tells of one, so that it is known to watch."""
    import threading

    seen = threading.Event()

    def send():
        while not seen.wait(0.02):
            ours("packet-out", switch.br0, "2", "controller", FRAME)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        while "PACKET_IN" not in process.stderr.readline():
            assert process.poll() is None
    finally:
        seen.set()
        thread.join()


def _lines_to(process, word):
    lines = []
    while not lines or word not in lines[-1]:
        lines.append(process.stderr.readline())
        assert lines[-1], "the monitor ended"
    return "".join(lines)


def _last_packets(text):
    """From the first packet of port 1 on."""
    at = text.index("in_port=1")
    return text[text.rindex("\n", 0, at) + 1 :] if "\n" in text[:at] else text


def test_timestamps(switch):
    switch.reset("table=0,actions=controller")
    process = watch(OUR_PROGRAM, "--timestamp", "monitor", switch.br0, "65535")
    try:
        import threading

        thread = threading.Thread(target=_until, args=(process, switch, "", []))
        thread.start()
        thread.join(20)
        assert not thread.is_alive()
    finally:
        process.kill()
        process.communicate()


def test_ping_and_probe(switch):
    assert ours("probe", switch.br0) == (0, "", "")
    mine, other = both("ping", switch.br0, "10")
    assert [line.partition("xid")[0] for line in mine[1].splitlines()] == [
        line.partition("xid")[0] for line in other[1].splitlines()
    ]
    status, out, _err = ours("benchmark", switch.br0, "100", "50")
    assert status == 0
    assert out.startswith("Sending 50 packets * 108 bytes (with header) = 5400 bytes total\n")


# Versions, targets, other output


def test_version_that_the_bridge_allows(switch):
    try:
        switch.vsctl("set", "bridge", "br0", "protocols=OpenFlow13", wait=True)
        assert "OF1.3" in ours("show", switch.br0)[1]
        status, _out, said = ours("-OOpenFlow10", "show", switch.br0)
        assert status == 1 and "version negotiation failed" in said
        switch.vsctl("set", "bridge", "br0", "protocols=OpenFlow10", wait=True)
        assert "OF1.3" not in ours("show", switch.br0)[1]
        status, _out, said = ours("add-flow", switch.br0, "actions=meter:3,output:1")
        assert status == 1 and "OXM-OpenFlow13" in said
        switch.vsctl("set", "bridge", "br0", "protocols=OpenFlow14", wait=True)
        assert "OF1.4" in ours("show", switch.br0)[1]
    finally:
        switch.vsctl("clear", "bridge", "br0", "protocols", wait=True)


def test_a_flow_that_only_13_can_say(switch):
    switch.reset()
    flow = "reset_counts,priority=5,actions=write_actions(output:1),goto_table:3"
    assert ours("add-flow", switch.br0, flow) == (0, "", "")
    assert "write_actions(output:1),goto_table:3" in "".join(switch.flows())
    assert ours("-OOpenFlow10", "add-flow", switch.br0, flow)[0] == 1


def test_targets(switch):
    for target in ("br0", f"{switch.directory}/br0.mgmt", f"unix:{switch.directory}/br0.mgmt",
                   "system@br0"):  # fmt: skip
        done = subprocess.run(
            [*OUR_PROGRAM, "get-frags", target],
            capture_output=True, text=True, env=switch.environment, timeout=20, check=False,
        )  # fmt: skip
        assert (done.stdout, done.stderr) == ("normal\n", "")
    switch.vsctl("set-controller", "other", "ptcp:0:127.0.0.1", wait=True)
    log = open(f"{switch.directory}/ovs-vswitchd.out").read()  # noqa: SIM115
    assert "ERR" not in log


def test_json(loaded):
    status, out, _err = ours("-f", "json", "dump-flows", loaded.br0)
    flows = json.loads(out)
    assert status == 0 and len(flows) == len(FLOWS)
    (http,) = [flow for flow in flows if flow["cookie"] == 0x10]
    assert http["match"] == {"tcp": True, "nw_src": "10.0.0.0/8", "tp_dst": 80}
    assert http["actions"] == ["output:2", "LOCAL"]
    assert (http["table"], http["n_packets"], http["priority"]) == (1, 0, 32768)
    assert http["duration"] >= 0 and http["idle_age"] >= 0
    (bare,) = [f for f in json.loads(ours("-fjson", "--no-stats", "dump-flows", loaded.br0)[1])
               if f["cookie"] == 0x10]  # fmt: skip
    assert "n_packets" not in bare
    names = json.loads(ours("--names", "-fjson", "dump-flows", loaded.br0, "in_port=p1")[1])
    assert names[0]["match"]["in_port"] == "p1"
    for command in ("show", "dump-desc", "dump-tables", "dump-ports", "dump-ports-desc",
                    "queue-stats", "dump-aggregate"):  # fmt: skip
        assert json.loads(ours("--format=json", command, loaded.br0)[1])
    ports = json.loads(ours("-fjson", "dump-ports-desc", loaded.br0)[1])
    assert {port["name"] for port in ports} == {"br0", "p1", "p2"}


def test_output_to_a_closed_pipe(loaded):
    process = subprocess.Popen(
        [*OUR_PROGRAM, "dump-flows", loaded.br0],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ,
    )  # fmt: skip
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(20) == 1
