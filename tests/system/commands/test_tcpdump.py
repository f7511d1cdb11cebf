"""pyvs-tcpdump: what it shows, and that nothing stays behind."""

import os
import shutil
import signal

import pytest

from pyvs_tools import tcpdump
from pyvs_tools.command import Fatal
from tests.daemons import BIN, wait_until

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("tcpdump") is None, reason="tcpdump is not installed"),
]


def start(switch, tmp_path, *words):
    told = (tmp_path / "told").open("w")
    return switch.host.popen(
        str(BIN / "pyvs-tcpdump"), "-i", "c1", *words, stdout=told, stderr=told,
        env=switch.environment,
    )  # fmt: skip


def is_clean(switch):
    return not switch.vsctl("list", "mirror") and "mic1" not in switch.vsctl("show")


@pytest.mark.parametrize(
    ("number", "words"), [(None, ("-c", "2")), (signal.SIGTERM, ("--span",)), (signal.SIGINT, ())]
)
def test_packets_are_shown_and_the_mirror_goes(switch, tmp_path, number, words):
    one, two = switch.container("c1", "10.0.0.1/24"), switch.container("c2", "10.0.0.2/24")
    switch.vsctl("add-br", "br0", "--", "add-port", "br0", "c1", "--", "add-port", "br0", "c2")
    assert one.ping("10.0.0.2") == 3
    dumping = start(switch, tmp_path, "-n", "-l", *words, "icmp")
    wait_until(lambda: "listening on mic1" in (tmp_path / "told").read_text(), what="tcpdump")
    again = switch.host.run(str(BIN / "pyvs-tcpdump"), "-ic1", env=switch.environment, check=False)
    assert not again
    assert two.ping("10.0.0.1", count=1) == 1
    shown = ("10.0.0.2 > 10.0.0.1: ICMP echo request", "10.0.0.1 > 10.0.0.2: ICMP echo reply")
    wait_until(lambda: all(each in (tmp_path / "told").read_text() for each in shown))
    if number is not None:
        os.kill(dumping.pid, number)
    assert dumping.wait(20) == 0
    assert is_clean(switch)


def test_what_cannot_be_dumped_leaves_nothing(switch, tmp_path):
    switch.container("c1", "10.0.0.1/24")
    switch.vsctl("add-br", "br0", "--", "add-port", "br0", "c1")
    for words, why in (
        (("--dump-cmd", "no-such-command"), "cannot find the command no-such-command"),
        (("--filter", "tcp"), "--filter is not supported"),
        (("--mirror-to", "c1"), "is there already"),
        (("--dump-cmd", "false"), ""),
        (("-i", "c2"), "-i may not appear multiple times"),
    ):
        process = start(switch, tmp_path, *words)
        assert process.wait(20) == 1
        assert why in (tmp_path / "told").read_text() and is_clean(switch)


def test_whoever_comes_second_leaves_the_first_ones_mirror(switch, tmp_path, monkeypatch):
    """Both have looked before either has made anything."""
    switch.container("c1", "10.0.0.1/24")
    switch.vsctl("add-br", "br0", "--", "add-port", "br0", "c1")
    second = tcpdump.Tap(tcpdump.Call("c1", db_sock=f"unix:{switch.directory}/db.sock"))
    ask = second._vsctl
    monkeypatch.setattr(second, "_vsctl", lambda *words: _blind(ask, words))
    dumping = start(switch, tmp_path, "-n", "-l")
    wait_until(lambda: "listening on mic1" in (tmp_path / "told").read_text(), what="tcpdump")
    with pytest.raises(Fatal, match="mic1"):
        second.make()
    monkeypatch.undo()
    second.remove()
    assert switch.vsctl("--columns=name", "--bare", "list", "mirror").strip() == "m_c1"
    assert "mic1" in switch.vsctl("show")
    os.kill(dumping.pid, signal.SIGTERM)
    assert dumping.wait(20) == 0
    assert is_clean(switch)


def _blind(ask, words):
    """vsctl for one that looks for interfaces and mirrors too early."""
    return "" if "find" in words and {"Interface", "Mirror"} & set(words) else ask(*words)
