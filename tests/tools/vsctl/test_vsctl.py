"""pyvs-vsctl by itself: conflicts, waiting for vswitchd, what it reports, bad servers."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyvs_tools.command import Fatal
from pyvs_tools.getopt_long import UsageError
from pyvs_tools.ovsdb import model as ovsdb_model
from pyvs_tools.vsctl import main as vsctl
from tests.tools.ovsdb_peers import contents, run_ours, start_server

PROGRAM = "import sys; from pyvs_tools.vsctl.main import main; sys.exit(main())"


@pytest.fixture(params=["ovs", "pyvs"])
def server(request):
    started = start_server(request.param)
    yield started
    started.stop()


def run(server, *words, wait=False):
    options = [f"--db={server.remote}", "--no-syslog", *([] if wait else ["--no-wait"])]
    return run_ours(vsctl.main, [*options, *words])


class Vswitchd(threading.Thread):
    """Takes over each configuration at once, as vswitchd does; devices whose names begin with
    "bad" do not exist."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.client = server.client()
        self.monitor = server.client()
        request = {"Open_vSwitch": {"columns": ["next_cfg"]}}
        self.update = self.monitor.request("monitor", ["Open_vSwitch", "x", request])
        self.start()

    def run(self):
        while True:
            for row in self.update.get("Open_vSwitch", {}).values():
                self.configure(row["new"]["next_cfg"])
            try:
                self.update = self.monitor.notification()["params"][1]
            except Exception:
                return

    def configure(self, number):
        def update(table, where, row):
            return {"op": "update", "table": table, "where": where, "row": row}

        select = {"op": "select", "table": "Interface", "where": [], "columns": ["name"]}
        names = [
            row["name"]
            for row in self.client.request("transact", ["Open_vSwitch", select])[0]["rows"]
        ]
        result = {
            "bad": {"ofport": -1, "error": ["set", ["could not open network device"]]},
            "odd": {},  # not even tried
        }
        failed = [
            update("Interface", [["name", "==", name]], result.get(name[:3], {"ofport": 1}))
            for name in names
        ]
        done = update("Open_vSwitch", [], {"cur_cfg": number})
        self.client.request("transact", ["Open_vSwitch", *failed, done])

    def stop(self):
        self.monitor.sock.shutdown(socket.SHUT_RDWR)
        self.join(5)


def test_waits_for_vswitchd_and_reports_errors(server):
    vswitchd = Vswitchd(server)
    try:
        assert run(server, "add-br", "br0", wait=True) == (0, "", "")
        status, out, err = run(server, "add-port", "br0", "bad0", wait=True)
        _, _, untold = run(server, "add-br", "odd/br", wait=True)
    finally:
        vswitchd.stop()
    assert (status, out) == (0, "")
    first, second = err.splitlines()
    assert first == (
        "pyvs-vsctl: Error detected while setting up 'bad0': could not open network device."
        "  See pyvs-vswitchd log for details."
    )
    assert second.startswith('pyvs-vsctl: The default log directory is "')
    _, cfg, _ = run(server, "get", "open", ".", "next_cfg", "cur_cfg")
    assert cfg == "3\n3\n"
    assert untold.startswith("pyvs-vsctl: Error detected while setting up 'odd/br'.  See ")


def test_nothing_changed_means_no_waiting(server):
    run(server, "add-br", "br0")
    assert run(server, "--may-exist", "add-br", "br0", wait=True) == (0, "", "")
    assert run(server, "set", "bridge", "br0", "stp_enable=false", wait=True) == (0, "", "")


def test_timeout_without_vswitchd(server):
    command = [sys.executable, "-c", PROGRAM, f"--db={server.remote}", "-t", "1", "add-br", "br0"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGALRM
    assert "|00001|fatal_signal|WARN|terminating with signal 14 (Alarm clock)\n" in done.stderr
    assert run(server, "list-br")[1] == "br0\n"


def test_conflict_is_decided_anew(server, monkeypatch):
    """Between reading and writing, somebody else takes the name."""
    run(server, "add-br", "br0")
    real, attempts = ovsdb_model.Snapshot.read, []

    def read(snapshot, client, wanted):
        real(snapshot, client, wanted)
        attempts.append(1)
        if len(attempts) == 1:
            monkeypatch.setattr(ovsdb_model.Snapshot, "read", real)
            run(server, "add-port", "br0", "p1")
            monkeypatch.setattr(ovsdb_model.Snapshot, "read", read)

    monkeypatch.setattr(ovsdb_model.Snapshot, "read", read)
    status, _, err = run(server, "add-port", "br0", "p1")
    assert status == 1
    assert err.startswith("pyvs-vsctl: cannot create a port named p1 because a port named p1")
    assert len(attempts) == 2


def test_deleted_bridge_is_noticed(server, monkeypatch):
    """A port added to a bridge that has just gone would vanish without a word."""
    run(server, "add-br", "br0")
    real = ovsdb_model.Snapshot.read

    def read(snapshot, client, wanted):
        real(snapshot, client, wanted)
        monkeypatch.setattr(ovsdb_model.Snapshot, "read", real)
        run(server, "del-br", "br0")

    monkeypatch.setattr(ovsdb_model.Snapshot, "read", read)
    assert run(server, "add-port", "br0", "p1")[2] == "pyvs-vsctl: no bridge named br0\n"


def test_many_at_once_lose_nothing(server):
    run(server, "add-br", "br0")
    names = [f"p{number}" for number in range(12)]
    threads = [
        threading.Thread(
            target=lambda name: subprocess.run(
                [
                    *(sys.executable, "-c", PROGRAM, f"--db={server.remote}", "--no-wait"),
                    *("add-port", "br0", name, "--"),
                    *("set", "open", ".", f"external_ids:{name}=x"),
                ],
                check=True,
            ),
            args=(name,),
        )
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert run(server, "list-ports", "br0")[1].split() == sorted(names)
    ids = run(server, "get", "open", ".", "external_ids")[1]
    assert all(f"{name}=x" in ids for name in names)


def test_wait_until_waits(server):
    command = [sys.executable, "-c", PROGRAM, f"--db={server.remote}", "--no-wait"]
    command += ["add-br", "br0", "--", "add-br", "br1"]
    timer = threading.Timer(0.2, lambda: subprocess.run(command, check=True))
    timer.start()
    words = ["wait-until", "bridge", "br0", "--", "get", "bridge", "br0", "name"]
    assert run(server, *words) == (0, "br0\n", "")
    timer.join()


def test_dry_run_changes_nothing_but_checks(server):
    run(server, "add-br", "br0")
    before = contents(server)
    assert run(server, "--dry-run", "add-port", "br0", "p1", wait=True)[0] == 0
    status, _, err = run(server, "--dry-run", "add", "open", ".", "ovs_version", "a,b")
    assert status == 1 and "set must have 0 to 1 members but 2 are present" in err
    assert contents(server) == before


def test_id_of_a_port_that_the_same_run_makes(server):
    run(server, "add-br", "br0")
    words = "add-port br0 p2 -- --id=@p get port p2 -- --id=@n create mirror name=n output-port=@p"
    status, _, err = run(server, *words.split(), *["--", "set", "bridge", "br0", "mirrors=@n"])
    assert (status, err) == (0, "")
    port = run(server, "get", "port", "p2", "_uuid")[1]
    assert run(server, "get", "mirror", "n", "output_port")[1] == port


def test_chosen_uuid(server):
    uuid = "12345678-1234-1234-1234-123456789abc"
    assert run(server, f"--id={uuid}", "create", "queue", "dscp=1")[1] == uuid + "\n"
    assert run(server, "list", "queue", "1234")[0] == 0


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"garbage",
        b"[]",
        b'{"id":1,"error":"no","result":null}',
        b'{"id":1,"error":null,"result":',
        b"\xff\xfe}",
        b'{"id":1,"error":null,"result":' + b"[" * 100000 + b"}",
    ],
)
def test_bad_server(tmp_path, reply):
    path = str(tmp_path / "sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def serve():
        peer, _ = listener.accept()
        peer.recv(1000)
        peer.sendall(reply)
        peer.close()

    thread = threading.Thread(target=serve)
    thread.start()
    status, out, err = run_ours(vsctl.main, [f"--db=unix:{path}", "show"])
    thread.join()
    listener.close()
    assert (status, out) == (1, "")
    assert err.startswith("pyvs-vsctl: database")


def test_long_socket_path(server, tmp_path):
    directory = tmp_path / ("d" * 60) / ("e" * 60)
    directory.mkdir(parents=True)
    os.symlink(server.socket, directory / "db.sock")
    status, _, err = run_ours(
        vsctl.main, ["--no-wait", f"--db=unix:{directory}/db.sock", "list-br"]
    )
    assert (status, err) == (0, "")


def test_second_remote_is_used(server):
    """A list of servers: the first that answers."""
    remote = f"unix:/nonexistent/socket,{server.remote}"
    assert run_ours(vsctl.main, ["--no-wait", f"--db={remote}", "list-br"]) == (0, "", "")


def test_words_that_are_not_utf8(server, tmp_path):
    """They are refused as by ovs-vsctl; in the log, and as the name of a file, they may stand."""
    log = f"{tmp_path}/\udcff.log"
    status, _, err = run(server, "add-br", "br\udcff")
    wanted = "constraint violation: not a valid UTF-8 string: invalid UTF-8 sequence 0xff"
    assert status == 1 and wanted in err
    assert run(server, f"--log-file={log}", "add-br", "br0") == (0, "", "")
    with open(log) as file:
        assert "br0" in file.read()


def test_help_and_version():
    status, out, _ = run_ours(vsctl.main, ["--help"])
    assert status == 0
    for name in vsctl.COMMANDS:
        assert name in out, f"{name} is not in --help"
    status, out, _ = run_ours(vsctl.main, ["--version"])
    assert status == 0 and out.startswith("pyvs-vsctl ")


def test_completion_lists():
    status, out, _ = run_ours(vsctl.main, ["--commands"])
    assert status == 0 and len(out.splitlines()) == len(vsctl.COMMANDS)
    status, out, _ = run_ours(vsctl.main, ["--options"])
    assert status == 0 and "--db=ARG" in out.splitlines()


WORDS = st.one_of(
    st.sampled_from(
        [
            "--",
            "--if-exists",
            "--id=@x",
            "--columns=name",
            "-f",
            "table",
            "--format=",
            "-t",
            "5",
            "list-br",
            "add-br",
            "set",
            "get",
            "--no-wait",
            "--oneline",
            "br0",
            "bridge",
            "name",
            "--bogus",
            "-",
            "--=",
            "-v",
            "-x",
            "--id",
        ]
    ),
    st.text(max_size=6),
)


@given(st.lists(WORDS, max_size=8))
def test_any_command_line(words):
    """A command line is understood, or refused with a message."""
    if any(word.startswith(("-h", "--h", "-V", "--ver", "--com", "--opt")) for word in words):
        return
    if any(word.startswith(("--rund", "--log")) for word in words):
        return
    from pyvs_tools.ovsdb.table import StyleError

    try:
        _, commands = vsctl.parse_command_line(words)
    except (Fatal, UsageError, StyleError) as error:
        assert str(error)
    else:
        # The commands hold all the words that follow the first command's name.
        rest = [word for word in words if word != "--"]
        tail = [word for command in commands for word in (command.name, *command.args)]
        assert all(word in rest for word in tail)


def test_speed_of_start():
    """What makes a command slow to start is not imported."""
    code = (
        "import sys, json; from pyvs_tools.vsctl import main as vsctl\n"
        "vsctl.parse_command_line(['get', 'bridge', 'br0', 'name'])\n"
        "print(json.dumps(list(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    slow = {"argparse", "dataclasses", "inspect", "typing", "logging", "ssl", "ovs", "subprocess"}
    assert not slow & set(json.loads(out))


def test_a_bridge_that_is_missing_is_named_first(server):
    """Also where another bridge has a port of that name."""
    assert run(server, "add-br", "br0", "--", "add-port", "br0", "v1")[0] == 0
    status, _out, error = run(server, "add-port", "br9", "v1")
    assert status == 1 and "no bridge named br9" in error


def test_a_port_that_is_gone_with_its_bridge_needs_no_deletion(server):
    """What ifdown, libvirt and agents do when all is taken down; without the option, the port is
    what is missing, as Open vSwitch says."""
    for words in (["no"], ["br9", "no"]):
        assert run(server, "--if-exists", "del-port", *words) == (0, "", "")
        assert run(server, "--if-exists", "--with-iface", "del-port", *words) == (0, "", "")
        assert run(server, "del-port", *words)[2] == "pyvs-vsctl: no port named no\n"
    assert run(server, "add-br", "br0", "--", "add-port", "br0", "v1")[0] == 0
    assert run(server, "--if-exists", "del-port", "br9", "br0") == (0, "", "")
    for option in ([], ["--if-exists"]):
        assert (
            run(server, *option, "del-port", "br9", "v1")[2] == "pyvs-vsctl: no bridge named br9\n"
        )


def test_options_behind_a_command_are_explained(server):
    late = run(server, "list-br", "--may-exist")[2]
    assert late == (
        "pyvs-vsctl: 'list-br' command takes at most 0 arguments "
        '(note that options must precede command names and follow a "--" argument)\n'
    )
    assert run(server, "list-br", "x")[2].endswith("takes at most 0 arguments\n")
