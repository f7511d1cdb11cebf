"""pyvs-ofctl and ovs-ofctl on pyvs' own switch: both print the same, and do the same to it."""

import threading
import time
from contextlib import closing

import pytest

from tests import daemons
from tests.tools.ofctl.test_ofctl_peer import (
    FILE,
    FLOWS,
    FRAME,
    IDS,
    MODS,
    OPTIONS,
    SHOWS,
    VERSIONS,
    WANTED,
)
from tests.tools.ofctl_peers import needs_ovs, ours, steady, theirs

pytestmark = [needs_ovs, pytest.mark.system]


class OurSwitch:
    """A running switch with bridge br0 and dummy ports p1 and p2."""

    def __init__(self, daemons_):
        self.daemons = daemons_
        self.br0 = f"unix:{daemons_.directory}/br0.mgmt"

    def flows(self):
        """The flow table as OpenFlow 1.3 has it, in some fixed order."""
        status, out, said = theirs("-OOpenFlow13", "dump-flows", "--no-stats", self.br0)
        assert status == 0, said
        return sorted(out.splitlines())

    def reset(self, *flows):
        """Make these the flows of br0."""
        assert theirs("del-flows", self.br0)[0] == 0
        status, _out, said = theirs(
            "-OOpenFlow10,OpenFlow13", "add-flows", self.br0, "-", text="\n".join(flows)
        )
        assert status == 0, said


@pytest.fixture(scope="module")
def switch():
    reason = daemons.missing()
    if reason:
        pytest.skip(reason)
    with closing(daemons.Switch()) as running:
        running.start(vswitchd=["--enable-dummy"])
        running.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "fail_mode=secure")
        for number in (1, 2):
            running.vsctl(
                *("add-port", "br0", f"p{number}", "--", "set", "interface", f"p{number}"),
                *("type=dummy", f"ofport_request={number}"),
            )
        yield OurSwitch(running)
        assert not running.trouble(), "\n".join(running.trouble())


@pytest.fixture
def loaded(switch):
    switch.reset(*FLOWS)
    return switch


def same(*arguments, text=""):
    """Both print the same.  (Errors of the switch ovs-ofctl takes for output; it fails without.)"""
    mine, other = ours(*arguments, text=text), theirs(*arguments, text=text)
    assert steady(mine[1] + mine[2]) == steady(other[1] + other[2])
    assert mine[0] == ("OFPT_ERROR" in mine[2])


@pytest.mark.parametrize("version", VERSIONS, ids=IDS)
@pytest.mark.parametrize("words", SHOWS, ids=" ".join)
def test_output(loaded, version, words):
    command, *rest = words
    same(*version, command, loaded.br0, *rest)


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_options_of_dump_flows(loaded, options):
    same("dump-flows", loaded.br0, *options)


# Fields that pyvs has and Open vSwitch does not, and how the list of fields is without them.
WITHOUT = {
    " pbb_{isid,uca}": "",
    " pbb_isid": "",
    " pbb_uca": "",
    "{src,dst,label,exthdr}": "{src,dst,label}",
    ",phy_port": "",
}


def test_table_features(switch):
    words = ("-OOpenFlow13", "dump-table-features", switch.br0)
    status, out, said = ours(*words)
    for more, less in WITHOUT.items():
        assert more in out
        out = out.replace(more, less)
    assert (status, out, said) == theirs(*words)


@pytest.mark.parametrize(
    "command", ["dump-groups", "dump-group-stats", "dump-meters", "meter-stats"]
)
def test_commands_of_13(switch, command):
    same("-OOpenFlow13", command, switch.br0)


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


@pytest.mark.parametrize("version", VERSIONS, ids=IDS)
def test_files(loaded, version):
    for program in (ours, theirs):
        loaded.reset(*FLOWS)
        assert program(*version, "add-flows", loaded.br0, "-", text=FILE)[0] == 0
        if program is ours:
            mine = loaded.flows()
    assert mine == loaded.flows()


@pytest.mark.parametrize("version", VERSIONS, ids=IDS)
def test_replace_and_diff_flows(loaded, version, tmp_path):
    path = tmp_path / "flows"
    path.write_text(WANTED)
    assert ours(*version, "diff-flows", loaded.br0, path)[0] == 2
    assert ours(*version, "replace-flows", loaded.br0, path) == (0, "", "")
    assert ours(*version, "diff-flows", loaded.br0, path) == (0, "", "")
    if "-OOpenFlow13" in version:
        assert theirs(*version, "diff-flows", loaded.br0, path)[0] in (0, 2)


def test_many_flows(switch, tmp_path):
    path = tmp_path / "flows"
    lines = [f"tcp,tp_src={i},nw_src=10.0.{i >> 8}.{i & 255},actions=output:1" for i in range(2000)]
    path.write_text("\n".join(lines))
    for program in (ours, theirs):
        switch.reset()
        assert program("add-flows", switch.br0, path)[0] == 0
        assert len(switch.flows()) == len(lines)
    same("dump-flows", switch.br0)
    same("-OOpenFlow13", "dump-flows", switch.br0)


def test_errors(switch):
    switch.reset()
    for version in VERSIONS:
        for command in (
            ("add-flow", switch.br0, "table=254,actions=drop"),
            ("queue-stats", switch.br0, "1", "7"),
            ("add-flow", switch.br0, "check_overlap,tcp,actions=1"),
        ):
            mine, other = ours(*version, *command), theirs(*version, *command)
            assert steady(mine[1] + mine[2]) == steady(other[1] + other[2])
    assert ours("add-flow", switch.br0, "tcp,tp_dst=5,actions=1") == (0, "", "")
    status, _out, said = ours("add-flow", switch.br0, "check_overlap,tcp,tp_src=5,actions=1")
    assert status == 1 and "OFPFMFC_OVERLAP" in said


@pytest.mark.parametrize("version", VERSIONS, ids=IDS)
def test_mod_port(switch, version):
    for word in ("down", "up", "noflood", "FLOOD", "no-down", "no-forward", "forward", "no-receive",
                 "receive", "no-packet-in", "packet-in"):  # fmt: skip
        shown = []
        for program in (ours, theirs):
            assert program(*version, "mod-port", switch.br0, "p1", word)[0] == 0
            shown.append(steady(theirs("dump-ports-desc", switch.br0)[1]))
        assert shown[0] == shown[1], word


def test_set_frags(switch):
    for mode in ("drop", "nx-match", "normal"):
        mine = ours("set-frags", switch.br0, mode)
        assert mine[0] == theirs("set-frags", switch.br0, mode)[0]
        same("get-frags", switch.br0)


@pytest.mark.parametrize("version", VERSIONS, ids=IDS)
def test_packet_out(switch, version):
    switch.reset("table=0,actions=drop")
    assert ours(*version, "packet-out", switch.br0, "LOCAL", "table", FRAME, FRAME) == (0, "", "")
    text = f"in_port=p1 packet={FRAME} actions=resubmit(,0)"
    assert ours(*version, "packet-out", switch.br0, text) == (0, "", "")
    daemons.wait_until(
        lambda: "n_packets=3, n_bytes=126" in ours("dump-flows", switch.br0)[1],
        what="the packets in the flow's counters",
    )


@pytest.mark.parametrize("options", [(), ("-Pstandard",), ("-OOpenFlow13",)], ids=" ".join)
def test_monitor(switch, options):
    """A packet, and the end of a flow."""
    import subprocess
    import sys

    switch.reset("table=0,actions=controller")
    program = "import sys; from pyvs_tools.ofctl.main import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *options, "monitor", switch.br0, "65535"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    stop = threading.Event()

    def act():
        while not stop.is_set():
            ours("packet-out", switch.br0, "p1", "table", FRAME)
            ours("add-flow", switch.br0, "priority=7,tcp,send_flow_rem,actions=drop")
            ours("--strict", "del-flows", switch.br0, "priority=7,tcp")
            time.sleep(0.02)

    thread = threading.Thread(target=act)
    thread.start()
    seen = ""
    try:
        while "FLOW_REMOVED" not in seen or "arp_tpa=192.168.0.2" not in seen:
            line = process.stderr.readline()
            assert line, seen
            seen += line
    finally:
        stop.set()
        thread.join()
        process.kill()
        process.communicate()
    assert "in_port=1 (via action) data_len=42 (unbuffered)" in seen
    assert "priority=7,tcp reason=delete" in seen


def test_ping(switch):
    assert ours("probe", switch.br0) == (0, "", "")
    assert theirs("probe", switch.br0)[0] == 0
    status, out, _err = ours("ping", switch.br0)
    assert status == 0 and out.count("64 bytes from") == 10


def test_snoop(switch):
    """What a controller and the switch say to each other."""
    import socket
    import subprocess
    import sys

    # The switch lives in a namespace of its own: its controller is on a unix socket.
    path = f"{switch.daemons.directory}/controller"
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    switch.daemons.vsctl("set-controller", "br0", f"unix:{path}")
    program = "import sys; from pyvs_tools.ofctl.main import main; sys.exit(main())"
    snoop = None
    try:
        server.settimeout(10)
        peer, _ = server.accept()
        peer.sendall(bytes.fromhex("0400000800000001"))
        snoop = subprocess.Popen(
            [sys.executable, "-c", program, f"--rundir={switch.daemons.directory}", "snoop", "br0"],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        stop = threading.Event()

        def act():
            while not stop.wait(0.02):
                peer.sendall(bytes.fromhex("0402000900000077aa"))

        thread = threading.Thread(target=act)
        thread.start()
        seen = ""
        try:
            while "OFPT_ECHO_REPLY" not in seen:
                line = snoop.stderr.readline()
                assert line, seen
                seen += line
        finally:
            stop.set()
            thread.join()
        assert "OFPT_ECHO_REQUEST (OF1.3) (xid=0x77): 1 bytes of payload" in seen
    finally:
        if snoop:
            snoop.kill()
            snoop.communicate()
        switch.daemons.vsctl("del-controller", "br0")
        peer.close()
        server.close()


def test_settings_of_tables(switch):
    """mod-table by either program, and by either what came of it."""
    for mine, other in ((ours, theirs), (theirs, ours)):
        for version, setting in (
            ("OpenFlow14", "evict"), ("OpenFlow15", "vacancy:20,80"), ("OpenFlow14", "noevict"),
            ("OpenFlow13", "name:one"), ("OpenFlow15", "name:two"), ("OpenFlow11", "drop"),
        ):  # fmt: skip
            assert mine(f"-O{version}", "mod-table", switch.br0, "3", setting)[0] == 0, setting
        status, desc, _said = other("-OOpenFlow14", "dump-table-desc", switch.br0)
        assert status == 0
        part = desc.partition("  table 3")[2].split("  table ")[0]
        assert "eviction=off" in part and "vacancy_down=20% vacancy_up=80% vacancy=100%" in part
        features = other("-OOpenFlow15", "dump-table-features", switch.br0)[1]
        assert 'table 3 ("two")' in features
        stats = other("-OOpenFlow11", "dump-tables", switch.br0)[1]
        assert "config=drop" in stats.partition('table 3 ("two")')[2].split("  table ")[0]
        mine("-OOpenFlow14", "mod-table", switch.br0, "3", "novacancy")
        mine("-OOpenFlow15", "mod-table", switch.br0, "3", "name:")
        mine("-OOpenFlow12", "mod-table", switch.br0, "ALL", "controller")
    for arguments in (
        ("3", "vacancy:80,20"),
        ("3", "vacancy:20"),
        ("254", "evict"),
        ("300", "evict"),
    ):
        assert ours("-OOpenFlow14", "mod-table", switch.br0, *arguments)[0] == 1, arguments
