"""Files that a command or the database names, which a daemon is not to wait for."""

import contextlib
import os

import pytest

from tests.daemons import OVSDB_SERVER, VSWITCHD, wait_until
from tests.hostile.control import call

pytestmark = pytest.mark.system

COMMANDS = ((VSWITCHD, "dpctl/add-flows"), (OVSDB_SERVER, "ovsdb-server/add-db"))


@pytest.fixture
def control(switch):
    """Sends a command to a daemon; what it answers, error or not."""

    def send(daemon, *words):
        path = str(switch.directory / f"{daemon}.{switch.pid(daemon)}.ctl")
        with contextlib.suppress(AssertionError):
            return call(path, *words)
        return None

    return send


@pytest.fixture
def files(switch):
    os.mkfifo(switch.directory / "fifo")
    return [str(switch.directory / "fifo"), "/dev/zero", "/bin/sh", "/", "\0"]


def answers(control):
    return all(control(daemon, "version") for daemon in (OVSDB_SERVER, VSWITCHD))


def test_what_is_no_file_of_theirs(switch, control, files):
    for daemon, command in COMMANDS:
        for path in files:
            said = control(daemon, command, path)
            wrong_lines = path == "/bin/sh" and said and "parsing flow key" in said
            assert said is None or "failed" in said or wrong_lines, (command, path)
            assert answers(control)


def test_no_certificates_either(switch, control, files):
    switch.vsctl("add-br", "br0")
    switch.allow("stream_ssl|reconnect")
    for path in files[:-1]:
        switch.vsctl("set-ssl", path, path, path)
        switch.vsctl("set-controller", "br0", "ssl:127.0.0.1:1", "--", "set-manager", "pssl:0")
        status = ("--columns=status", "list", "controller")
        wait_until(lambda status=status: "last_error" in switch.vsctl(*status), 15, "last_error")
        assert answers(control)
        switch.vsctl("del-controller", "br0", "--", "del-manager")
    assert "Traceback" not in "".join(line for _, line in switch.logs())
