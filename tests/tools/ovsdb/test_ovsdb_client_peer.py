"""pyvs-ovsdb-client beside ovsdb-client: same server, same output."""

# ruff: noqa: E501

import contextlib
import io
import re
import shlex
import signal
import subprocess
import sys
import tempfile

import pytest

from pyvs_tools.ovsdb import client as ovsdb_client
from tests.daemons import wait_until
from tests.tools.ovsdb_peers import (
    SCHEMA,
    contents,
    needs_ovs,
    normal_uuids,
    run_ours,
    run_peer,
    start_server,
)

pytestmark = [needs_ovs, pytest.mark.peer]

SETUP = """
add-br br0 -- add-br br1 -- add-port br0 e1 tag=5 -- add-port br0 e2 trunks=1,2
set port e1 external_ids='{"a b"="c d",n="5"}'
set-manager tcp:1.2.3.4
"""

COMMANDS = r"""
list-dbs REMOTE
list-dbs REMOTE x y
get-schema REMOTE
get-schema REMOTE Open_vSwitch
get-schema REMOTE _Server
get-schema REMOTE nosuch
--pretty get-schema REMOTE
get-schema-version REMOTE
get-schema-cksum REMOTE
list-tables REMOTE
-f csv list-tables REMOTE Open_vSwitch
list-columns REMOTE
list-columns REMOTE Open_vSwitch Port
-f csv list-columns REMOTE Port
-f json list-columns REMOTE Open_vSwitch Manager
-f list list-columns REMOTE Open_vSwitch Manager
list-columns REMOTE Open_vSwitch zz
transact REMOTE '["Open_vSwitch",{"op":"select","table":"Port","where":[["name","==","e1"]],"columns":["name","tag","external_ids"]}]'
--pretty transact REMOTE '["Open_vSwitch",{"op":"select","table":"Port","where":[["name","==","e1"]],"columns":["name","tag"]}]'
transact REMOTE '["Open_vSwitch",{"op":"foo"}]'
transact REMOTE '[]'
transact REMOTE '{}'
transact REMOTE '["zz"]'
query REMOTE '["Open_vSwitch",{"op":"insert","table":"Bridge","row":{"name":"x"}}]'
query REMOTE '["Open_vSwitch",{"op":"foo"}]'
query REMOTE '["Open_vSwitch"]'
dump REMOTE
dump REMOTE Open_vSwitch
-f csv dump REMOTE
-f list dump REMOTE
-f html dump REMOTE
-f json dump REMOTE
dump REMOTE Open_vSwitch Bridge name ports
dump REMOTE Bridge name
-f json dump REMOTE Open_vSwitch Port name tag trunks external_ids
-f list dump REMOTE Open_vSwitch Port name tag
-f csv dump REMOTE Port name external_ids
-f html dump REMOTE Port _uuid name interfaces
--bare dump REMOTE Port name tag
--no-headings dump REMOTE Port name tag
-d json dump REMOTE Port name tag
--max-column-width=10 dump REMOTE Port _uuid name
dump REMOTE zz
dump REMOTE Open_vSwitch Bridge zz
dump REMOTE _Server
wait REMOTE Open_vSwitch connected
wait REMOTE Open_vSwitch added
wait REMOTE zz removed
wait REMOTE zz foo
foo
transact
--foo
--form=csv dump REMOTE Port name
dump REMOTE Port name --format=csv
-f zz list-dbs REMOTE
list-dbs foo:bar
list-dbs foo:bar baz
dump foo:bar Open_vSwitch
"""


@pytest.fixture(scope="module", params=["ovs", "pyvs"])
def server(request):
    started = start_server(request.param)
    for line in SETUP.strip().splitlines():
        assert run_peer("ovs-vsctl", started.remote, shlex.split(line))[0] == 0
    yield started
    started.stop()


def arguments(server, line):
    return [
        word.replace("REMOTE", server.remote).replace("SCHEMA", SCHEMA)
        for word in shlex.split(line)
    ]


def in_order(line, text):
    """The pieces of an output, sorted: tables, columns and rows come in no particular order."""
    if "-f json" in line:
        return sorted(re.split(r"[\[\],{}\n]+", text))
    return sorted(text.split("</tr>" if "-f html" in line else "\n"))


@pytest.mark.parametrize("line", [line for line in COMMANDS.splitlines() if line])
def test_command(server, line):
    args = arguments(server, line)
    status, out, err = run_peer("ovsdb-client", server.remote, args)
    our_status, our_out, our_err = run_ours(ovsdb_client.main, args)
    assert our_status == status
    query = line.startswith("query")
    keep = normal_uuids if query else str
    assert in_order(line, keep(our_out)) == in_order(line, keep(out))
    err = re.sub(r"^\d{4}-.*\|reconnect\|INFO.*\n", "", err, flags=re.M)
    assert bool(our_err) == bool(err)
    for message in re.findall(r"^ovsdb-client: (.*)", err, flags=re.M):
        assert our_err == f"pyvs-ovsdb-client: {message}\n"


MONITORS = [
    "monitor REMOTE Port name tag external_ids",
    "monitor REMOTE Open_vSwitch Port name,tag",
    "monitor REMOTE Open_vSwitch Port 'name,tag,!initial'",
    "monitor REMOTE Open_vSwitch Port 'name,!initial' 'tag,!modify'",
    "monitor REMOTE Open_vSwitch Port '!initial,!insert,!delete'",
    "-f json monitor REMOTE Open_vSwitch Port name,tag",
    "-f csv monitor REMOTE Open_vSwitch Port name,tag",
    "-f list monitor REMOTE Open_vSwitch Port name,tag",
    "-f html monitor REMOTE Open_vSwitch Port name,tag",
    "-d json monitor REMOTE Open_vSwitch Port name,tag",
    "--no-headings monitor REMOTE Open_vSwitch Port name,tag",
    "monitor REMOTE Open_vSwitch ALL",
    """monitor-cond REMOTE Open_vSwitch '[["name","==","mm"]]' Port name,tag""",
    "monitor-cond REMOTE Open_vSwitch '[]' Port name,tag",
    "monitor-cond-since REMOTE Open_vSwitch '[]' Port name,tag",
    "monitor REMOTE Open_vSwitch Port name name",
    "monitor REMOTE Open_vSwitch zz name",
    "monitor REMOTE Open_vSwitch Port zz",
]


def stands(trace):
    """Whether a client has sent its "monitor" and has all replies, as its trace shows."""
    sent = re.search(r'send .*"monitor', trace)
    return sent and trace.count(": send ") <= trace.count(": received ")


STILL = 40


def follow(commands, server, changes, same):
    """The (output, messages) of commands that go on while the database changes.

    They have begun when they have said something, or ended; those that say nothing at first when
    their trace, which they write then, shows the server's reply.  They have seen all when
    `same(outputs)` holds, STILL looks long: after each change it may hold for a moment.  That it
    never did shows in what is returned.
    """
    # Appending: reading here moves the offset that the commands share.
    files = [[tempfile.TemporaryFile("a+") for _ in range(2)] for _ in commands]  # noqa: SIM115
    processes = [
        subprocess.Popen(command, stdout=out, stderr=err)
        for command, (out, err) in zip(commands, files, strict=True)
    ]

    def texts(stream):
        found = []
        for pair in files:
            pair[stream].seek(0)
            found.append(pair[stream].read())
        return found

    looks = []

    def settled():
        looks.append(texts(0))
        last = looks[-STILL:]
        return len(last) == STILL and all(last[0]) and last == [last[0]] * STILL and same(last[0])

    try:
        begun = stands if "-vjsonrpc:dbg" in commands[0] else bool
        stream = 1 if begun is stands else 0
        wait_until(
            lambda: all(map(begun, texts(stream))) or any(p.poll() is not None for p in processes)
        )
        for line in changes:
            assert run_peer("ovs-vsctl", server.remote, shlex.split(line))[0] == 0
        with contextlib.suppress(AssertionError, TimeoutError):
            wait_until(settled, what="output")
        outputs = texts(0)
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            process.wait(10)
    return list(zip(outputs, texts(1), strict=True))


CHANGES = [
    "add-br mm -- set port mm tag=7",
    "set port mm tag=8 external_ids:a=b",
    "del-br mm",
]


@pytest.mark.parametrize("line", MONITORS)
def test_monitor(server, line):
    args = arguments(server, line)
    if "!initial" in line or '"mm"' in line:  # says nothing at first
        args.append("-vjsonrpc:dbg")
    program = "import sys; from pyvs_tools.ovsdb.client import main; sys.exit(main())"
    commands = ["ovsdb-client", *args], [sys.executable, "-c", program, *args]

    def pieces(text):
        text = re.sub(r">[0-9a-f]{8}</a>", "></a>", normal_uuids(text))
        return in_order(line, re.sub(r" +$", "", text, flags=re.M))

    def same(outputs):
        return pieces(outputs[0]) == pieces(outputs[1])

    (theirs, error), (mine, our_error) = follow(commands, server, CHANGES, same)
    assert pieces(mine) == pieces(theirs)
    for message in re.findall(r"^ovsdb-client: \S+: (.*)", error, flags=re.M):
        assert message in our_error


def test_lock(server):
    """The second who wants a lock waits for it; stealing tells the first."""
    program = "import sys; from pyvs_tools.ovsdb.client import main; sys.exit(main())"
    ours = [sys.executable, "-c", program]
    commands = [[*ours, verb, server.remote, "l"] for verb in ("lock", "steal")]
    outputs = []
    first = subprocess.Popen(commands[0], stdout=subprocess.PIPE, text=True)
    try:
        outputs.append(first.stdout.readline())
        second = subprocess.Popen(commands[1], stdout=subprocess.PIPE, text=True)
        outputs.append(second.stdout.readline())
        outputs.append(first.stdout.readline() + first.stdout.readline())
        second.terminate()
        second.communicate(timeout=10)
    finally:
        first.terminate()
        first.communicate(timeout=10)
    assert outputs[:2] == ['{"locked":true}\n'] * 2
    assert outputs[2] == 'stolen\n["l"]\n'


def test_backup_and_restore(server, tmp_path):
    """Theirs reads our backup, and the other way round, and the contents are the same."""
    other = start_server("ovs")
    try:
        program = "import sys; from pyvs_tools.ovsdb.client import main; sys.exit(main())"
        ours = [sys.executable, "-c", program]
        for backup, restore in ((ours, ["ovsdb-client"]), (["ovsdb-client"], ours)):
            path = tmp_path / "saved"
            with open(path, "wb") as file:
                subprocess.run([*backup, "backup", server.remote], stdout=file, check=True)
            with open(path, "rb") as file:
                subprocess.run(
                    [*restore, "--force", "restore", other.remote], stdin=file, check=True
                )
            assert contents(other) == contents(server)
    finally:
        other.stop()


def test_needs_conversion(server, tmp_path):
    """The schema that the server has needs none; another does."""
    _, schema, _ = run_ours(ovsdb_client.main, ["get-schema", server.remote])
    path = tmp_path / "schema"
    for text, answer in ((schema, "no\n"), (schema.replace("flow_limit", "flow_lim"), "yes\n")):
        path.write_text(text)
        args = ["needs-conversion", server.remote, str(path)]
        assert run_peer("ovsdb-client", server.remote, args)[1] == answer
        assert run_ours(ovsdb_client.main, args) == (0, answer, "")


def test_convert_to_what_is_no_schema(server, tmp_path):
    """It is not sent; nor does a file that holds no object end in a traceback."""
    for number, text in enumerate(("[1]", "x", '{"name":"a","tables":{"1":{"columns":{}}}}')):
        path = tmp_path / f"{number}"
        path.write_text(text)
        for command in ("convert", "needs-conversion"):
            code, out, error = run_ours(ovsdb_client.main, [command, server.remote, str(path)])
            assert (code, out) == (1, "")
            assert f'failed to read schema: "{path}": ' in error


def test_terminal_output_is_text():
    """Without a connection there is a message and a status, no traceback."""
    out = io.StringIO()
    with contextlib.redirect_stderr(out):
        assert ovsdb_client.main(["list-dbs", "unix:/nonexistent/socket"]) == 1
    assert "No such file or directory" in out.getvalue()
