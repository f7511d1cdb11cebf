"""pyvs-ctl starts, stops and restarts the switch; ovs' daemon options."""

import json
import os
import pwd
import re
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest

from ovsdb.storage import files
from tests.authority import Authority, needs_openssl
from tests.daemons import BIN, DAEMONS, DATAPATH, OVSDB_SERVER, VSWITCHD, Namespace, wait_until
from tests.system.traffic import Pinger

pytestmark = pytest.mark.system


@pytest.fixture
def ctl(switch_daemons):
    """Runs pyvs-ctl; `ctl.switch` is a daemons.Switch without daemons of its own."""
    switch = switch_daemons
    switch.host = Namespace()

    def run(*words, check=True):
        words = (f"--rundir={switch.directory}", *words)
        return switch.command("pyvs-ctl", *words, check=check, timeout=60)  # three daemons' start

    run.switch = switch
    yield run
    for name in reversed(DAEMONS):  # so that vswitchd sees none go
        for pid in sorted(processes(switch, name)):  # the monitor first
            os.kill(pid, signal.SIGKILL)


def processes(switch, name):
    """Ids of all processes of a daemon in this run directory, monitors too."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
            state = (path.parent / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        of_ours = f"--rundir={switch.directory}".encode() in words
        if of_ours and state != "Z" and any(word.endswith(name.encode()) for word in words[:2]):
            found.append(int(path.parent.name))
    return found


def pids(text):
    return dict(re.findall(r"^(\S+) is running with pid (\d+)$", text, re.MULTILINE))


def test_start_is_idempotent_and_tells_where(ctl):
    first = ctl("start")
    assert pids(first).keys() == set(DAEMONS)
    assert f"unix:{ctl.switch.directory}/db.sock" in first
    assert ctl("start") == first
    assert pids(ctl("status")) == pids(first)
    ctl.switch.vsctl("add-br", "br0")
    assert ctl.switch.get("Open_vSwitch", ".", "dpdk_version") == "none"
    for path in ctl.switch.directory.iterdir():
        mode = path.stat().st_mode
        if stat.S_ISSOCK(mode):
            assert mode & 0o077 == 0, path
    assert {path.name for path in ctl.switch.directory.glob("*.sock")} == {
        "db.sock", "datapath.sock"
    }  # fmt: skip


@needs_openssl
def test_managers_come_by_tls(ctl, tmp_path):
    """set-ssl is for them too; another authority's take over while the server runs."""
    ctl("start")
    switch = ctl.switch
    switch.allow("ssl|SSL|TLS|certificate")
    switch.vsctl("set-manager", "pssl:6640:127.0.0.1")
    reached = []

    def list_br(options):
        words = ("--timeout=30", "--db=ssl:127.0.0.1:6640", *options, "list-br")
        done = switch.host.popen(
            str(BIN / "pyvs-vsctl"), *words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        reached.append(done.communicate(timeout=60)[0])
        return done.returncode == 0

    switch.vsctl("add-br", "br0")
    options = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        authority = Authority(str(tmp_path / name))
        own = [option.partition("=")[2] for option in authority.issue("switch")]
        options.append(authority.issue("manager"))
        assert not list_br(options[-1])
        switch.vsctl("set-ssl", *own)
        wait_until(lambda: list_br(options[-1]), 60, f"TLS with the {name}")
        assert reached[-1] == b"br0\n"
    assert not list_br(options[0])


def test_stop_leaves_nothing_and_is_idempotent(ctl):
    ctl("start")
    switch = ctl.switch
    switch.vsctl("add-br", "br0")
    switch.ofctl("add-flow", "br0", "tcp,actions=drop")
    assert "has ended" in ctl("stop")
    assert ctl("stop") == ""
    for name in DAEMONS:
        wait_until(lambda name=name: not processes(switch, name), what=f"the end of {name}")
    left = {path.name for path in switch.directory.iterdir() if not path.name.startswith(".")}
    assert left == {"conf.db", "system-id.conf", *(f"{name}.log" for name in DAEMONS)}
    assert "br0" not in switch.host.run("ip", "-br", "link")
    out = ctl("status", check=False)
    assert out.count("is not running") == 3
    ctl("start")
    assert switch.vsctl("list-br") == "br0\n"
    assert "tcp" not in switch.ofctl("dump-flows", "br0")


def test_restart_keeps_flows_numbers_and_traffic(ctl):
    ctl("start")
    switch = ctl.switch
    switch.vsctl("add-br", "br0")
    one = switch.container("c1", "10.0.0.1/24", "br0")
    switch.container("c2", "10.0.0.2/24", "br0")
    switch.ofctl("add-flow", "br0", "priority=7,tcp,actions=drop")
    switch.host.run("ip", "address", "add", "10.0.0.9/24", "dev", "br0")
    assert one.ping("10.0.0.2") == 3
    before = pids(ctl("status"))
    pinger = Pinger(one, "10.0.0.2")
    time.sleep(0.3)
    after = pids(ctl("restart"))
    sent, lost = pinger.stop()
    assert sent > 10 and not lost
    assert after[DATAPATH] == before[DATAPATH]
    assert after[VSWITCHD] != before[VSWITCHD] and after[OVSDB_SERVER] != before[OVSDB_SERVER]
    assert "priority=7,tcp actions=drop" in switch.ofctl("--no-stats", "dump-flows", "br0")
    assert "10.0.0.9" in switch.host.run("ip", "-br", "address")
    assert switch.get("Interface", "c2", "ofport") == "2"
    after = pids(ctl("--datapath", "restart"))
    assert after[DATAPATH] != before[DATAPATH]
    assert "priority=7,tcp actions=drop" in switch.ofctl("--no-stats", "dump-flows", "br0")
    wait_until(lambda: one.ping("10.0.0.2", count=1) == 1, what="traffic")
    assert switch.get("Interface", "c2", "ofport") == "2"


def test_monitors_bring_killed_daemons_back(ctl):
    switch = ctl.switch
    switch.allow(r"restarting|again in|datapath|db\.sock")
    ctl("start")
    switch.vsctl("add-br", "br0")
    before = pids(ctl("status"))
    for pid in before.values():
        os.kill(int(pid), signal.SIGKILL)
    wait_until(
        lambda: (
            len(pids(ctl("status", check=False)).keys()) == 3
            and not set(pids(ctl("status", check=False)).values()) & set(before.values())
        ),
        what="all daemons",
    )
    wait_until(lambda: "br0 65534" in switch.appctl("dpif/show", check=False), what="the bridge")
    ctl("stop")
    for name in DAEMONS:
        wait_until(lambda name=name: not processes(switch, name), what=f"the end of {name}")


def test_stop_ends_what_is_about_to_start(ctl):
    """Killed just before: neither a monitor nor vswitchd brings a daemon back afterwards."""
    switch = ctl.switch
    switch.allow(r"restarting|again in|datapath|db\.sock|RPC|connection|Connection")
    for names, pause in (
        *(((DATAPATH,), pause) for pause in (0, 0.1, 0.25, 0.5)),
        *((DAEMONS, pause) for pause in (0, 0.3)),
        *(((VSWITCHD,), pause) for pause in (0, 0.3)),
    ):
        there = pids(ctl("start"))
        for name in names:
            os.kill(int(there[name]), signal.SIGKILL)
        time.sleep(pause)
        ctl("stop")
        assert not any(processes(switch, name) for name in DAEMONS), (names, pause)
        time.sleep(0.5)
        assert not any(processes(switch, name) for name in DAEMONS), (names, pause)


def test_a_killed_datapath_has_one_starter(ctl):
    """Its monitor while there is one, then vswitchd; and `start` waits for either."""
    switch = ctl.switch
    switch.allow(r"restarting|again in|datapath|RPC|connection|Connection")
    ctl("start")
    for _ in range(3):
        before = pids(ctl("status"))
        os.kill(int(before[DATAPATH]), signal.SIGKILL)
        after = pids(ctl("start"))
        assert after[DATAPATH] != before[DATAPATH]
        assert len(processes(switch, DATAPATH)) == 2
    monitor, daemon = sorted(processes(switch, DATAPATH))
    for pid in (monitor, daemon):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: DATAPATH in pids(ctl("status", check=False)), what="vswitchd's datapath")
    assert len(processes(switch, DATAPATH)) == 1
    with pytest.raises(AssertionError, match="already running as pid"):
        switch.start_daemon(DATAPATH)
    switch.kill(DATAPATH)
    assert DATAPATH in pids(ctl("start"))
    wait_until(lambda: processes(switch, DATAPATH), what="a datapath")
    ctl("stop")
    assert not processes(switch, DATAPATH)


def test_a_daemon_that_hangs_is_stopped(ctl):
    """It neither answers nor heeds SIGTERM; and its monitor does not start it again."""
    ctl("start")
    pid = int(pids(ctl("status"))[OVSDB_SERVER])
    os.kill(pid, signal.SIGSTOP)
    assert f"(pid {pid}) has ended" in ctl("--no-vswitchd", "--no-datapath", "stop")
    time.sleep(1)
    assert not processes(ctl.switch, OVSDB_SERVER)
    ctl.switch.allow("db.sock")


def test_wrong_use_says_so(ctl):
    for words, message in [
        ((), "exactly one command is required"),
        (("frobnicate",), "unknown command 'frobnicate'"),
        (("--frobnicate", "start"), "frobnicate"),
    ]:
        with pytest.raises(AssertionError, match=message):
            ctl(*words)
    done = subprocess.run(
        [str(BIN / "pyvs-ctl"), "--rundir=/proc/nowhere", "start"], capture_output=True, text=True
    )
    assert done.returncode == 1 and "/proc/nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_of_another_schema_is_converted(ctl):
    """Older without a column, newer with a table and a column that we do not know, with rows."""
    run = ctl.switch.directory
    schema = files.load_schema(files.SWITCH_SCHEMA)
    database = run / "conf.db"
    present = schema["version"]
    for number, version in enumerate(("1.0.0", "99.0.0", "1.0.0")):
        other = json.loads(json.dumps(schema))
        other["version"] = version
        del other["tables"]["Bridge"]["columns"]["flood_vlans"]
        other["tables"]["Bridge"]["columns"]["colour"] = {"type": "string"}
        other["tables"]["Wheel"] = {"columns": {"size": {"type": "integer"}}, "isRoot": True}
        database.unlink(missing_ok=True)
        files.create(str(database), other)
        bridge = {"name": f"old{number}", "colour": "red", "ports": ["set", []]}
        operations = [
            {"op": "insert", "table": "Wheel", "row": {"size": 7}},
            {"op": "insert", "table": "Bridge", "uuid-name": "b", "row": bridge},
            {"op": "insert", "table": "Open_vSwitch", "row": {"bridges": ["named-uuid", "b"]}},
        ]
        words = json.dumps(["Open_vSwitch", *operations])
        ctl.switch.command("pyvs-ovsdb-tool", "transact", str(database), words)
        before = database.read_bytes()
        saved = run / f"conf.db.backup{version}{'.1' if number == 2 else ''}"
        assert f"to schema version {present} (old one: {saved})" in ctl(
            "--no-datapath", "--no-vswitchd", "start"
        )
        assert saved.read_bytes() == before
        assert ctl.switch.vsctl("--no-wait", "list-br") == f"old{number}\n"
        assert ctl.switch.get("bridge", f"old{number}", "flood_vlans") == "[]"
        ctl("stop")
        assert "converted" not in ctl("--no-datapath", "--no-vswitchd", "start")
        ctl("stop")


def test_a_database_that_is_none(ctl):
    database = ctl.switch.directory / "conf.db"

    def refused():
        command = [str(BIN / "pyvs-ctl"), f"--rundir={ctl.switch.directory}", "start"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith(f"pyvs-ctl: database {database}: "), done.stderr

    for content in (
        b"",
        b"OVSDB JSON",
        b"OVSDB JSON x y\n",
        b"rubbish\n" * 9,
        b"OVSDB CLUSTER 1 0\n",
    ):
        database.write_bytes(content)
        refused()
        assert database.read_bytes() == content
    database.unlink()
    database.mkdir()
    refused()


def test_a_start_that_fails_leaves_what_there_was(ctl):
    """Whichever daemon it is that does not come up; what ran before runs on."""
    ctl.switch.allow("Address already in use|Is a directory|pidfile check failed")
    run = ctl.switch.directory
    for blocked, before in (
        ("db.sock", None),
        ("pyvs-vswitchd.pid", None),
        ("datapath.sock", ("--no-datapath", "--no-vswitchd", "start")),
    ):
        there = pids(ctl(*before)) if before else {}
        (run / blocked / "x").mkdir(parents=True)
        command = [*ctl.switch.host.prefix, str(BIN / "pyvs-ctl"), f"--rundir={run}", "start"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 1 and "did not start" in done.stderr, (blocked, done)
        assert "Traceback" not in done.stderr
        left = {name: processes(ctl.switch, name) for name in DAEMONS}
        assert {name for name, found in left.items() if found} == there.keys(), (blocked, left)
        assert pids(ctl("status", check=False)) == there
        (run / blocked / "x").rmdir()
        (run / blocked).rmdir()
    assert pids(ctl("start")).keys() == set(DAEMONS)
    ctl("stop")


def as_nobody(run, *words, prefix=()):
    """What a command says that may not do its work."""
    command = [*prefix, str(BIN / words[0]), f"--rundir={run}", *words[1:]]
    other = {} if prefix else {"user": "nobody", "group": "nogroup", "extra_groups": []}
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=30, **other)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert not done.stdout
    return done.stderr


ASKING = (
    ("pyvs-ofctl", "dump-flows", "br0"),
    ("pyvs-vsctl", "show"),
    ("pyvs-dpctl", "show"),
    ("pyvs-appctl", "version"),
    ("pyvs-top", "--once"),
)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a directory away")
def test_what_somebody_else_is_told(ctl):
    """Permission is what lacks; nobody guesses that nothing runs."""
    run = ctl.switch.directory
    ctl("start")
    ctl.switch.vsctl("add-br", "br0")
    before = pids(ctl("status"))
    # A root without capabilities, who can run the commands wherever they are installed.
    powerless = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    os.chown(run, pwd.getpwnam("nobody").pw_uid, -1)
    run.chmod(0o700)
    for words in (*ASKING, ("pyvs-ctl", "status"), ("pyvs-ctl", "stop")):
        text = as_nobody(run, *words, prefix=powerless)
        assert "Permission denied" in text and str(run) in text, text
    os.chown(run, 0, -1)
    run.chmod(0o755)
    try:
        version = [BIN / "pyvs-ctl", "--version"]
        subprocess.run(version, user="nobody", extra_groups=[], check=True, cwd="/")
    except (OSError, subprocess.CalledProcessError):
        pass  # nor can somebody else be tried, where the commands are out of reach
    else:
        for words in ASKING:
            assert "Permission denied" in as_nobody(run, *words)
        reason = as_nobody(run, "pyvs-ctl", "stop")
        assert re.search("Operation not permitted|Permission denied", reason), reason
    assert pids(ctl("status")) == before


def test_daemons_start_as_those_of_ovs_do(switch_daemons):
    """The command lines of a script for Open vSwitch, with other names."""
    switch = switch_daemons
    switch.host = Namespace()
    run = switch.directory
    schema = Path(__file__).resolve().parents[3] / "ovsdb" / "vswitch.ovsschema"
    if subprocess.run(["which", "ovsdb-tool"], capture_output=True).returncode:
        pytest.skip("ovsdb-tool is not installed")
    subprocess.run(["ovsdb-tool", "create", str(run / "conf.db"), str(schema)], check=True)
    switch.command(
        "pyvs-ovsdb-server",
        str(run / "conf.db"),
        "-vconsole:emer",
        "-vsyslog:err",
        "-vfile:info",
        f"--remote=punix:{run}/db.sock",
        "--remote=db:Open_vSwitch,Open_vSwitch,manager_options",
        "--private-key=db:Open_vSwitch,SSL,private_key",
        "--certificate=db:Open_vSwitch,SSL,certificate",
        "--bootstrap-ca-cert=db:Open_vSwitch,SSL,ca_cert",
        "--no-chdir",
        f"--log-file={run}/one.log",
        f"--pidfile={run}/pyvs-ovsdb-server.pid",
        "--detach",
        f"--unixctl={run}/db.ctl",
    )
    assert switch.pid(OVSDB_SERVER)
    switch.vsctl("--no-wait", "init")
    switch.command(
        "pyvs-vswitchd",
        f"unix:{run}/db.sock",
        "-vconsole:emer",
        "-vsyslog:err",
        "-vfile:info",
        "--mlockall",
        "--no-chdir",
        f"--log-file={run}/two.log",
        f"--pidfile={run}/pyvs-vswitchd.pid",
        "--detach",
    )
    assert switch.pid(VSWITCHD)
    switch.vsctl("add-br", "br0")
    assert "one.log" in {path.name for path in run.iterdir()}
    assert "bridge br0: added" in (run / "two.log").read_text()
    assert "pyvs-ovsdb-server" in switch.appctl("-t", str(run / "db.ctl"), "version")
    assert "br0" in switch.appctl("-t", "ovs-vswitchd", "dpif/show")
