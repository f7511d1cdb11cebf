"""pyvs-ofctl's bundles and its monitor beside ovs-ofctl, on an Open vSwitch."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.tools.ofctl_peers import OpenVSwitch, needs_ovs, ours, steady, theirs

pytestmark = [needs_ovs, pytest.mark.peer]

OURS = os.path.join(os.path.dirname(sys.executable), "pyvs-ofctl")
START = ["priority=1,actions=drop", "in_port=1,actions=output:2"]
FILE = """
flow add priority=3,in_port=2,actions=group:3
group group_id=4,type=all,bucket=output:1
flow priority=4,tcp,actions=group:4
flow delete in_port=1
packet-out in_port=1,packet=ffffffffffff0000000000018999,actions=output:1
"""


@pytest.fixture(scope="module")
def switch():
    running = OpenVSwitch()
    yield running
    running.stop()


def _state(switch):
    groups = theirs("-OOpenFlow13", "dump-groups", switch.br0)[1]
    return switch.flows(), steady(groups)


# Arguments behind the target, and standard input
COMMANDS = [
    (("add-flow", "priority=9,actions=drop"), ""),
    (("add-flows", "-"), "priority=5,actions=output:1\ndelete in_port=1\n"),
    (("add-flows", "-"), "priority=5,actions=output:1\nactions=group:77\npriority=6,actions=drop"),
    (("mod-flows", "in_port=1,actions=output:1"), ""),
    (("del-flows", "in_port=1"), ""),
    (("--strict", "del-flows", "priority=1"), ""),
    (("replace-flows", "-"), "priority=1,actions=drop\npriority=8,actions=output:1\n"),
    (("--readd", "replace-flows", "-"), "priority=1,actions=drop\n"),
    (("add-group", "group_id=7,type=all,bucket=output:1"), ""),
    (("add-group", "group_id=3,type=all,bucket=output:1"), ""),
    (("mod-group", "group_id=3,type=all,bucket=output:1"), ""),
    (("del-groups",), ""),
    (("bundle", "-"), FILE),
    (("bundle", "-"), FILE + "flow actions=group:77"),
    (("bundle", "-"), FILE + "flow foo=7"),
    (("bundle", "-"), FILE + "hello world"),
    (("bundle", "-"), ""),
    (("add-flows", "-"), "actions=foo"),
]


@pytest.mark.parametrize("version", [(), ("-OOpenFlow13",), ("-OOpenFlow15",)])
def test_the_same_effect_and_the_same_errors(switch, version):
    for words, text in COMMANDS:
        results = []
        at = next(n for n, word in enumerate(words) if not word.startswith("-"))
        options = version if words[at] == "bundle" else ("--bundle", *version)
        arguments = [*options, *words[: at + 1], switch.br0, *words[at + 1 :]]
        for run in (ours, theirs):
            switch.reset(*START)
            theirs("-OOpenFlow13", "del-groups", switch.br0)
            theirs("-OOpenFlow13", "add-group", switch.br0, "group_id=3,type=all,bucket=output:2")
            status, out, said = run(*arguments, text=text)
            said = steady(said).replace("pyvs-ofctl", "ovs-ofctl")
            results.append((status, steady(out), said, _state(switch)))
        assert results[0] == results[1], words


def test_what_needs_no_switch_to_be_refused(switch):
    for arguments in (
        ("--read-only", "bundle", switch.br0, "-"),
        ("bundle", switch.br0, "/nonexistent"),
        ("bundle", switch.br0),
    ):
        mine, other = ours(*arguments), theirs(*arguments)
        assert mine[0] == other[0] == 1
        assert mine[2].splitlines()[0].replace("pyvs", "ovs") == other[2].splitlines()[0]


# monitor


class _Background:
    """A monitor that has detached itself, and its output."""

    def __init__(self, program, switch, directory, *words):
        name = os.path.basename(program[-1])
        self.log = directory / f"{name}.log"
        self.control = directory / f"{name}.ctl"
        self.pidfile = directory / f"{name}.pid"
        self.environment = switch.environment
        with open(self.log, "w") as log:
            subprocess.run(
                [*program, "monitor", switch.br0, *words, "--detach", "--no-chdir",
                 f"--pidfile={self.pidfile}", f"--unixctl={self.control}"],
                env=self.environment, stdout=log, stderr=log, check=True, timeout=30,
            )  # fmt: skip

    def tell(self, *words):
        done = subprocess.run(
            ["ovs-appctl", "-t", str(self.control), *words],
            env=self.environment, capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr.replace(str(self.control), "CTL")

    def output(self):
        return re.sub(r" \(xid=X\)| +$", "", steady(self.log.read_text()), flags=re.M)

    def close(self):
        if self.pidfile.exists():
            os.kill(int(self.pidfile.read_text()), signal.SIGTERM)


def _conversation(switch, monitor, directory):
    """What is said to a monitor, and all that it says."""
    answers = []
    theirs("add-flow", switch.br0, "cookie=5,udp,actions=output:1")
    theirs("mod-flows", switch.br0, "udp,actions=output:2")
    answers.append(monitor.tell("ofctl/barrier"))
    for text in ("0109000c00000005000000ff", "zz", "01", "010e"):
        answers.append(monitor.tell("ofctl/send", text))
    answers.append(monitor.tell("ofctl/packet-out", "foo"))
    text = "in_port=1,packet=ffffffffffff0000000000018999,actions=output:1"
    answers.append(monitor.tell("ofctl/packet-out", text))
    answers.append(monitor.tell("ofctl/barrier"))
    answers.append(monitor.tell("ofctl/set-output-file", "/nonexistent/file"))
    answers += [monitor.tell("vlog/reopen"), monitor.tell("vlog/close")]  # it has no file
    answers += [monitor.tell("vlog/set", each) for each in ("nosuch", "file:dbg", "vconn:off")]
    answers.append(monitor.tell("ofctl/block"))
    theirs("del-flows", switch.br0, "udp")
    answers.append(monitor.tell("ofctl/unblock"))
    answers.append(monitor.tell("ofctl/barrier"))
    output = monitor.output()
    monitor.log = directory / "other.log"
    answers.append(monitor.tell("ofctl/set-output-file", str(monitor.log)))
    theirs("add-flow", switch.br0, "cookie=5,udp,actions=output:1")
    answers.append(monitor.tell("ofctl/barrier"))
    output += monitor.output()
    answers.append(monitor.tell("exit"))
    deadline = time.monotonic() + 20
    while monitor.pidfile.exists():
        assert time.monotonic() < deadline, "the monitor goes on"
        time.sleep(0.02)
    return answers, output


@pytest.mark.parametrize("version", ["-OOpenFlow10", "-OOpenFlow13"])
@pytest.mark.parametrize("spec", ["", "!own", "udp,!actions", "out_port=2", "!add,table=0"])
def test_a_monitor_that_is_told_what_to_do(switch, tmp_path, version, spec):
    results = []
    for program in ([OURS], ["ovs-ofctl"]):
        switch.reset(*START)
        monitor = _Background(program, switch, tmp_path, version, f"watch:{spec}")
        try:
            results.append(_conversation(switch, monitor, tmp_path))
        finally:
            monitor.close()
    for mine, other in zip(*results, strict=True):
        assert mine == other


def test_tunnel_options(switch):
    """And what of connections needs no more than a number."""
    four = "{class=0xffff,type=0,len=4}->tun_metadata0"
    two = "{class=0xffff,type=1,len=8}->tun_metadata1,{class=0xffff,type=2,len=124}->tun_metadata5"
    for words in (
        ("dump-tlv-map",), ("add-tlv-map", four), ("add-tlv-map", four), ("add-tlv-map", two),
        ("dump-tlv-map",), ("add-tlv-map", "foo"), ("add-tlv-map", ""),
        ("del-tlv-map", four), ("dump-tlv-map",), ("del-tlv-map",), ("dump-tlv-map",),
        ("ct-flush-zone", "5"), ("ct-flush-zone", "foo"),
    ):  # fmt: skip
        results = []
        for run in (ours, theirs):
            theirs("del-tlv-map", switch.br0)
            theirs("add-tlv-map", switch.br0, "{class=1,type=0,len=4}->tun_metadata7")
            status, out, said = run(words[0], switch.br0, *words[1:])
            said = steady(said).replace("pyvs-ofctl", "ovs-ofctl")
            results.append((status, steady(out), said))
        assert results[0] == results[1], words
