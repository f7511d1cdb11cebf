"""A run directory whose sockets have longer paths than a socket's address can hold (108 bytes): for
each daemon and each command it is a directory like others."""

import subprocess

import pytest

from tests.daemons import BIN, CommandFailed, wait_until

pytestmark = pytest.mark.system

OVSDB = "unix:{run}/db.sock"


@pytest.fixture
def long(switch_daemons):
    """The running switch, with bridge br0."""
    top, names = switch_daemons.directory, ("d" * 60, "e" * 60)
    deep = switch_daemons.directory = top.joinpath(*names)
    deep.mkdir(parents=True)
    switch_daemons.environment["PYVS_RUNDIR"] = str(deep)
    try:
        switch_daemons.start()
        switch_daemons.vsctl("add-br", "br0")
        yield switch_daemons
    finally:
        switch_daemons.directory = top  # all of it is to be deleted


COMMANDS = [  # command, what it prints
    ("pyvs-vsctl list-br", "br0"),
    (f"pyvs-vsctl --db={OVSDB} list-br", "br0"),
    ("pyvs-vsctl --db=unix:db.sock list-br", "br0"),
    ("pyvs-ofctl dump-flows br0", "actions=NORMAL"),
    ("pyvs-ofctl dump-flows {run}/br0.mgmt", "actions=NORMAL"),
    ("pyvs-ofctl dump-flows unix:{run}/br0.mgmt", "actions=NORMAL"),
    ("pyvs-ofctl -OOpenFlow13 --bundle add-flow br0 actions=drop", ""),
    ("pyvs-appctl version", "pyvs-vswitchd"),
    ("pyvs-appctl -t pyvs-ovsdb-server version", "pyvs-ovsdb-server"),
    ("pyvs-appctl -t pyvs-datapath version", "pyvs-datapath"),
    ("pyvs-appctl -t {run}/pyvs-vswitchd.{pid}.ctl version", "pyvs-vswitchd"),
    ("pyvs-dpctl show", "br0"),
    ("pyvs-dpctl dump-flows", ""),
    ("pyvs-ovsdb-client list-dbs", "Open_vSwitch"),
    (f"pyvs-ovsdb-client list-dbs {OVSDB}", "Open_vSwitch"),
    (f"pyvs-ovsdb-client dump {OVSDB} Open_vSwitch Bridge name", "br0"),
    ("pyvs-ovsdb-tool db-name {run}/conf.db", "Open_vSwitch"),
    ("pyvs-ctl status", "is running"),
]


def test_each_command(long):
    names = {"run": long.directory, "pid": long.pid("pyvs-vswitchd")}
    for command, told in COMMANDS:
        program, *words = command.format(**names).split()
        assert told in long.command(program, *words), command
    long.command("pyvs-ctl", "stop")
    with pytest.raises(CommandFailed, match="not running"):
        long.command("pyvs-ctl", "status")


FOLLOWING = [  # commands that go on, and what they print at first
    ("pyvs-ofctl monitor br0 watch:", "NXST_FLOW_MONITOR"),
    (f"pyvs-ovsdb-client monitor {OVSDB} Open_vSwitch Bridge name", "br0"),
]


def test_commands_that_go_on(long):
    for command, told in FOLLOWING:
        program, *words = command.format(run=long.directory).split()
        child = long.host.popen(
            str(BIN / program), *words, env=long.environment, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            lines = []
            while not lines or told not in lines[-1]:
                lines.append(child.stdout.readline())
                assert lines[-1], "".join(lines)
        finally:
            child.kill()
            child.wait()


def test_sockets_of_the_database(long):
    """Those of controllers and of the database, both ways."""
    run = long.directory
    add_remote = ("ovsdb-server/add-remote", f"punix:{run}/manager.sock")
    long.appctl("-t", "pyvs-ovsdb-server", *add_remote)
    wait_until((run / "manager.sock").is_socket, what="the manager's socket")
    assert "Open_vSwitch" in long.command(
        "pyvs-ovsdb-client", "list-dbs", f"unix:{run}/manager.sock"
    )
    long.vsctl("set-controller", "br0", f"punix:{run}/br0.controller")
    wait_until((run / "br0.controller").is_socket, what="the controller's socket")
    assert "OFPT_FEATURES_REPLY" in long.ofctl("show", f"unix:{run}/br0.controller")
    long.allow("connection (attempt )?(failed|dropped)")
    long.vsctl("set-controller", "br0", f"unix:{run}/nobody.sock")
    wait_until(lambda: "No such file" in long.get("Controller", "br0", "status"), what="the error")
