"""pyvs-ovsdb-tool beside ovsdb-tool: same files, same answers."""

import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from ovsdb.storage import files
from pyvs_tools.ovsdb import tool as ovsdb_tool
from tests.tools.ovsdb_peers import SCHEMA, needs_ovs, normal_uuids, run_ours

pytestmark = [needs_ovs, pytest.mark.peer]

INSERT = [
    {
        "op": "insert",
        "table": "Open_vSwitch",
        "row": {"bridges": ["named-uuid", "b"], "external_ids": ["map", [["a", "b c"]]]},
    },
    {
        "op": "insert",
        "table": "Bridge",
        "uuid-name": "b",
        "row": {"name": "br0", "flood_vlans": ["set", [1, 2, 3]]},
    },
    {"op": "comment", "comment": "two\nlines"},
]
UPDATE = [
    {
        "op": "update",
        "table": "Bridge",
        "where": [],
        "row": {"fail_mode": "secure", "flood_vlans": ["set", [2, 5]]},
    }
]
DELETE = [{"op": "update", "table": "Open_vSwitch", "where": [], "row": {"bridges": ["set", []]}}]
SELECT = [{"op": "select", "table": "Bridge", "where": [], "columns": ["name", "flood_vlans"]}]


def theirs(*args):
    done = subprocess.run(["ovsdb-tool", *args], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def ours(*args):
    return run_ours(ovsdb_tool.main, list(args))


TOOLS = {"ovsdb-tool": theirs, "pyvs-ovsdb-tool": ours}


def transaction(operations):
    return json.dumps(["Open_vSwitch", *operations])


@pytest.fixture(params=sorted(TOOLS))
def database(request, tmp_path):
    """A database file, made by one tool or the other."""
    tool, path = TOOLS[request.param], str(tmp_path / "a.db")
    assert tool("create", path, SCHEMA) == (0, "", "")
    for operations in (INSERT, UPDATE, DELETE):
        assert tool("transact", path, transaction(operations))[0] == 0
    return path


@pytest.fixture
def clustered(tmp_path):
    path = str(tmp_path / "c.db")
    assert theirs("create-cluster", path, SCHEMA, "tcp:127.0.0.1:1")[0] == 0
    return path


COMMANDS = r"""
db-name DB
db-version DB
db-cksum DB
schema-name SCHEMA
schema-version SCHEMA
schema-cksum SCHEMA
db-is-standalone DB
db-is-clustered DB
db-cid DB
needs-conversion DB SCHEMA
show-log DB
-m show-log DB
-mm show-log DB
--more --more show-log DB
query DB '["Open_vSwitch",{"op":"select","table":"Bridge","where":[],"columns":["name"]}]'
query DB '["Open_vSwitch",{"op":"foo"}]'
query DB '["Open_vSwitch",{"op":"delete","table":"Bridge","where":[]}]'
query DB '["x"]'
query DB '{}'
query DB '{'
transact DB '["Open_vSwitch",{"op":"select","table":"Open_vSwitch","where":[],"columns":["external_ids"]}]'
compare-versions 1.2.3 < 1.10.0
compare-versions 1.2.3 >= 1.10.0
compare-versions 1.2 < 1.10.0
compare-versions 1.2.3 = 1.10.0
compare-versions 1.2.3
create DB SCHEMA
create OTHER nosuch
db-name nosuch
db-version SCHEMA
db-is-standalone nosuch
compact nosuch
show-log nosuch
foo
--foo

"""  # noqa: E501


def arguments(line, database):
    words = shlex.split(line)
    names = {"DB": database, "SCHEMA": SCHEMA, "OTHER": database + ".other"}
    names["nosuch"] = database + ".nosuch"
    return [names.get(word, word) for word in words]


@pytest.mark.parametrize("line", [line for line in COMMANDS.splitlines() if line])
def test_command(database, line):
    args = arguments(line, database)
    status, out, err = theirs(*args)
    our_status, our_out, our_err = ours(*args)
    assert our_status == status
    if "op" in line and "error" in out:
        keys = re.findall(r'"error":"[^"]*"', out)
        assert re.findall(r'"error":"[^"]*"', our_out) == keys
    elif "-m" in line:  # the rows of a record are in no order
        assert sorted(our_out.splitlines()) == sorted(out.splitlines())
    else:
        assert our_out == out
    assert bool(our_err) == bool(err)


@pytest.mark.parametrize("command", ["compact", "convert"])
@pytest.mark.parametrize("target", [False, True])
def test_rewritten_files_are_the_same(database, command, target, tmp_path):
    """In place and into another file; what theirs reads from it is what was there."""
    before = theirs("query", database, transaction(SELECT))
    extra = [SCHEMA] if command == "convert" else []
    result = str(tmp_path / "new.db") if target else database
    size = os.path.getsize(database)
    assert ours(command, database, *extra, *([result] if target else [])) == (0, "", "")
    assert theirs("query", result, transaction(SELECT)) == before
    assert len(theirs("show-log", result)[1].split("record")) == 3
    assert "pyvs-ovsdb-tool" in theirs("show-log", result)[1]
    assert os.path.getsize(database) == size if target else os.path.getsize(database) > 0
    if target:
        assert ours(command, database, *extra, result)[0] == 1


def test_conversion_drops_what_the_schema_lacks(database, tmp_path):
    spec = files.load_schema(SCHEMA)
    del spec["tables"]["Open_vSwitch"]["columns"]["external_ids"]
    schema = str(tmp_path / "schema")
    with open(schema, "w") as file:
        json.dump(spec, file)
    assert ours("needs-conversion", database, schema) == (0, "yes\n", "")
    assert ours("convert", database, schema)[0] == 0
    select = [{"op": "select", "table": "Open_vSwitch", "where": []}]
    rows = json.loads(ours("query", database, transaction(select))[1])[0]["rows"]
    assert len(rows) == 1 and "external_ids" not in rows[0]


def test_query_while_a_server_has_it(database):
    opened = files.open_database(database)
    try:
        assert ours("query", database, transaction(SELECT)) == (0, '[{"rows":[]}]\n', "")
        program = "import sys; from pyvs_tools.ovsdb.tool import main; sys.exit(main())"
        command = [sys.executable, "-c", program, "transact", database, transaction(SELECT)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 1 and "lock" in done.stderr
    finally:
        opened.file.close()


@pytest.mark.parametrize("command", ["db-name", "db-cid", "db-sid", "db-local-address"])
def test_clustered_files_are_recognized(clustered, command):
    assert ours(command, clustered) == theirs(command, clustered)
    assert ours("db-is-clustered", clustered)[0] == 0
    assert ours("db-is-standalone", clustered)[0] == 2
    for refused in ("db-version", "compact", "show-log"):
        status, out, err = ours(refused, clustered)
        assert status == 1 and out == "" and "cluster" in err.lower()


def test_same_uuids_in_logs(database):
    """Rows are called by name where the log has told one."""
    text = normal_uuids(ours("-m", "show-log", database)[1])
    assert 'table Bridge insert row "br0"' in text


def test_damaged_file(database):
    with open(database, "r+b") as file:
        file.seek(os.path.getsize(database) - 5)
        file.write(b"#")
    status, out, err = ours("show-log", database)
    assert status == 0 and "offset" in err and out == theirs("show-log", database)[1]


def test_help_names_every_command():
    status, out, _ = ours("--help")
    assert status == 0
    clusters = {name for name, row in ovsdb_tool.COMMANDS.items() if row[2].__name__[4:8] == "clus"}
    assert all(name in out for name in ovsdb_tool.COMMANDS if name not in clusters)
    assert ours("--version")[1].startswith("pyvs-ovsdb-tool ")
