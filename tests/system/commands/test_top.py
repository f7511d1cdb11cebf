"""pyvs-top: what it says of a real switch, for scripts and in a terminal, and over restarts."""

import json
import os
import pty
import re
import select
import subprocess

import pytest

from tests.daemons import BIN, VSWITCHD, wait_until

pytestmark = pytest.mark.system


class Terminal:
    """pyvs-top in a terminal of 100 columns."""

    def __init__(self, switch, *arguments):
        self._fd, slave = pty.openpty()
        environment = {**switch.environment, "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
        self.child = switch.host.popen(
            *(str(BIN / "pyvs-top"), *arguments),
            **{"stdin": slave, "stdout": slave, "stderr": slave, "env": environment},
        )
        os.close(slave)
        self.text = ""

    def shows(self, pattern):
        """Whether it has been seen since the last time that something was."""
        while select.select([self._fd], [], [], 0.05)[0]:
            try:
                octets = os.read(self._fd, 1 << 16)
            except OSError:  # it has ended
                break
            self.text += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", octets.decode(errors="replace"))
        found = re.search(pattern, self.text)
        if found:
            self.text = self.text[found.end() :]
        return found

    def close(self):
        self.child.send_signal(2)
        status = self.child.wait(10)
        os.close(self._fd)
        return status


def test_rates_flows_and_restarts(switch):
    switch.vsctl("add-br", "br0")
    a = switch.container("ca", "10.0.0.1/24", "br0")
    switch.container("cb", "10.0.0.2/24", "br0")
    assert a.ping("10.0.0.2", 2) == 2
    pings = a.popen("ping", "-n", "-q", "-i0.02", "10.0.0.2", stdout=subprocess.DEVNULL)
    try:
        out = switch.command("pyvs-top", "--once", "-f", "json", "-d", "1")
        found = json.loads(out)
        assert found["up"] and 0.9 < found["seconds"] < 10
        ports = {each["name"]: each for each in found["ports"]}
        assert ports.keys() == {"br0", "ca", "cb"}
        assert 10 < ports["ca"]["rates"]["rx_packets"] < 100
        assert ports["ca"]["totals"]["rx_packets"] > 10
        first = found["flows"][0]
        assert "eth_type(0x0800)" in first["flow"] and first["packet_rate"] > 10
        assert found["counters"]["upcalls_total misses"]["total"] >= 2
        text = switch.command("pyvs-top", "--once", "-d", "1")
        assert re.search(r"^ ?ca +\d", text, re.M) and "upcalls" in text
        terminal = Terminal(switch, "-d", "0.5")
        try:
            wait_until(lambda: terminal.shows(r"ca +[1-9]"), 20, "rates")
            switch.kill(VSWITCHD)
            wait_until(lambda: terminal.shows("does not answer"), 20, "its absence")
            switch.start_daemon(VSWITCHD)
            wait_until(lambda: terminal.shows(r"ca +[1-9]"), 20, "rates again")
            assert terminal.child.poll() is None
        finally:
            assert terminal.close() == 130
    finally:
        pings.terminate()
        pings.wait()
    switch.command("pyvs-top", "-n", "2", "-f", "json", "-d", "0.5")
    for wrong in (["-d", "x"], ["-f", "xml"], ["-n", "0"], ["word"]):
        with pytest.raises(AssertionError, match="status 1"):
            switch.command("pyvs-top", *wrong)
