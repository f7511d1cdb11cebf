"""Database files: torn ends, damage, failing disks, locks, compaction; both ways with
ovsdb-tool."""

import errno
import json
import os
import re
import subprocess
import tempfile
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovsdb.data.errors import OvsdbError
from ovsdb.serving import server as ovsdb_server
from ovsdb.storage import files
from ovsdb.storage.log import LogWriter, TornRecord, encode_record, read_records
from ovsdb.transactions.operations import execute
from tests.daemons import wait_until
from tests.ovsdb.ovsdb_world import Local, directory, insert, needs_ovs, select
from tests.ovsdb.random_transactions import SCHEMA, TRANSACTIONS, World

COUNTER = {
    "name": "Count",
    "version": "1.0.0",
    "tables": {
        "T": {
            "isRoot": True,
            "indexes": [["n"]],
            "columns": {
                "n": {"type": "integer"},
                "words": {"type": {"key": "string", "min": 0, "max": "unlimited"}},
            },
        }
    },
}


@pytest.fixture
def path(tmp_path):
    made = str(tmp_path / "conf.db")
    files.create(made, COUNTER)
    return made


def numbers(database):
    """The committed values of `n`, in order."""
    return sorted(row["n"][0] for row in database.tables["T"].rows.values())


def add(local, *values):
    client = local.client()
    for value in values:
        results = client.transact("Count", insert("T", n=value, words=["set", ["a", "b"]]))
        assert "error" not in results[-1], results


def opened(path):
    return Local(files.open_database(path))


def filled(path, count=5):
    """A closed file with some transactions; its bytes."""
    local = opened(path)
    add(local, *range(count))
    local.close()
    with open(path, "rb") as file:
        return file.read()


def offsets(data):
    """Where the records begin."""
    return [offset for offset, _ in read_records(data, "x")]


# --- ends and damage


def test_torn_end_is_cut_off_with_a_warning(path, monkeypatch):
    warnings = []
    monkeypatch.setattr(files.vlog, "warn", warnings.append)
    data = filled(path)
    last = offsets(data)[-1]
    for size in range(last + 1, len(data)):
        with open(path, "wb") as file:
            file.write(data[:size])
        warnings.clear()
        database = files.open_database(path)
        database.file.close()
        assert numbers(database) == [0, 1, 2, 3]
        assert os.path.getsize(path) == last
        assert len(warnings) == 1 and f"at offset {last}" in warnings[0]


def test_after_the_cut_it_goes_on(path):
    data = filled(path)
    with open(path, "wb") as file:
        file.write(data[:-1])
    local = opened(path)
    add(local, 7)
    local.close()
    database = files.open_database(path)
    database.file.close()
    assert numbers(database) == [0, 1, 2, 3, 7]


@pytest.fixture(scope="module")
def good():
    with directory() as where:
        path = os.path.join(where, "db")
        files.create(path, COUNTER)
        return filled(path)


@settings(max_examples=400)
@given(data=st.data())
def test_any_flipped_byte_is_cut_or_refused(good, data):
    """Never a crash, never another value, and nothing before the damage is lost in silence."""
    with directory() as where:
        path = os.path.join(where, "db")
        place = data.draw(st.integers(0, len(good) - 1))
        bad = bytearray(good)
        bad[place] ^= data.draw(st.integers(1, 255))
        with open(path, "wb") as file:
            file.write(bad)
        starts = offsets(good)
        damaged = max(number for number, start in enumerate(starts) if start <= place)
        try:
            database = files.open_database(path)
        except OvsdbError as error:
            # A last record of another kind may be whole: it is not cut off.
            assert damaged < len(starts) - 1 or "log file of type" in str(error)
            assert f"offset {starts[damaged]}" in str(error)
            with open(path, "rb") as file:
                assert file.read() == bad, "a refused file was changed"
            return
        database.file.close()
        assert damaged == len(starts) - 1
        assert numbers(database) == [0, 1, 2, 3]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_log_or_not(data):
    try:
        for offset, _json in read_records(data, "x"):
            assert 0 <= offset < len(data)
    except (OvsdbError, TornRecord) as error:
        assert str(error)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty file"),
        (b"hello\n", "at offset 0"),
        (encode_record({"name": "x"}), "Required 'tables' member"),
        (encode_record(COUNTER).replace(b"JSON", b"CLUSTER"), "CLUSTER"),
        (encode_record(COUNTER) + encode_record([]) + encode_record({}), "not an object"),
        (encode_record(COUNTER) + encode_record({"X": {}}) + encode_record({}), "No table named X"),
        (encode_record(COUNTER) + encode_record({"T": {"x": {}}}) + encode_record({}), "<row-txn>"),
    ],
)
def test_what_is_no_database_is_refused(tmp_path, content, words):
    path = str(tmp_path / "db")
    with open(path, "wb") as file:
        file.write(content)
    with pytest.raises(OvsdbError, match=words):
        files.open_database(path)
    files.FileLock(path).release()  # and no lock is left behind


def test_a_last_transaction_of_no_sense_is_cut_off(path):
    """As ovsdb-server does; what it had put into the rows before it failed goes, too."""
    good = filled(path)
    row = {"00000000-0000-4000-8000-000000000000": {"n": 99}}
    with open(path, "ab") as file:
        file.write(encode_record({"T": row, "nosuch": {}}))
    local = opened(path)
    assert numbers(local.service.databases["Count"]) == [0, 1, 2, 3, 4]
    local.close()
    with open(path, "rb") as file:
        assert file.read() == good


# --- a disk that fails


def test_full_disk_fails_the_transaction_and_loses_nothing(path, monkeypatch):
    """A half written record is taken back before the next is written."""
    local = opened(path)
    add(local, 1)
    real = os.pwrite

    def write(fd, data, at):
        written = real(fd, bytes(data)[:20], at)
        monkeypatch.setattr(os, "pwrite", full)
        return written

    def full(_fd, _data, _at):
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr(os, "pwrite", write)
    client = local.client()
    results = client.transact("Count", insert("T", n=2))
    assert results[-1]["error"] == "I/O error"
    assert results[-1]["io-error"] == os.strerror(errno.ENOSPC)
    monkeypatch.setattr(os, "pwrite", real)
    assert client.transact("Count", select("T", columns=["n"]))[0]["rows"] == [{"n": 1}]
    add(local, 3)
    local.close()
    database = files.open_database(path)
    database.file.close()
    assert numbers(database) == [1, 3]


def test_sync_that_fails_fails_the_transaction(path, monkeypatch):
    local = opened(path)
    add(local, 1)

    def broken(_fd):
        raise OSError(errno.EIO, "")

    monkeypatch.setattr(os, "fdatasync", broken)
    commit = {"op": "commit", "durable": True}
    results = local.client().transact("Count", insert("T", n=2), commit)
    assert results[-1]["error"] == "I/O error"
    monkeypatch.undo()
    local.close()
    database = files.open_database(path)
    database.file.close()
    assert numbers(database) == [1]


def test_durable_commits_are_synced(path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    local = opened(path)
    add(local, 1)
    assert not synced
    local.client().transact("Count", insert("T", n=2), {"op": "commit", "durable": True})
    assert len(synced) == 1
    local.close()


def test_full_device(tmp_path):
    """A write to a device without room is an error of that record."""
    fd = os.open("/dev/full", os.O_RDWR)
    log = LogWriter(fd, "/dev/full", 0)
    with pytest.raises(OvsdbError, match="No space left"):
        log.append(b"x", durable=False)
    assert log.size == 0
    log.close()


# --- locks


def test_second_server_is_kept_out(path):
    local = opened(path)
    program = (
        "import sys; from ovsdb.data import errors; from ovsdb.storage import files\n"
        "try: files.open_database(sys.argv[1])\n"
        "except errors.OvsdbError as error: print(error)"
    )
    done = subprocess.run(
        [os.sys.executable, "-c", program, path], capture_output=True, text=True, check=True
    )
    assert "failed to lock lockfile" in done.stdout
    local.close()


@needs_ovs
@pytest.mark.peer
def test_lock_is_that_of_ovsdb_tool(path):
    local = opened(path)
    done = subprocess.run(["ovsdb-tool", "compact", path], capture_output=True, text=True)
    assert done.returncode != 0 and "lock" in done.stderr
    local.close()
    subprocess.run(["ovsdb-tool", "compact", path], check=True)


# --- both ways with ovsdb-tool


def tool_query(path):
    query = json.dumps(["Every", *[select(name) for name in sorted(SCHEMA["tables"])]])
    done = subprocess.run(["ovsdb-tool", "query", path, query], capture_output=True, check=True)
    return json.loads(done.stdout)


@needs_ovs
@pytest.mark.peer
@settings(max_examples=15, deadline=None)
@given(TRANSACTIONS)
def test_ovsdb_tool_reads_what_we_write(transactions):
    """And we read what it compacts."""
    with directory() as where:
        path = os.path.join(where, "db")
        files.create(path, SCHEMA)
        local = Local(files.open_database(path))
        client, world = local.client(), World()
        for operations in transactions:
            world.results(client.transact("Every", *[world.request(op) for op in operations]))
        selects = [select(name) for name in sorted(SCHEMA["tables"])]
        ours = world.results(client.transact("Every", *selects))
        for row in (row for result in ours for row in result["rows"]):
            row.pop("passing", None)  # an ephemeral column

        def same(results):
            found = world.results(results)
            for row in (row for result in found for row in result["rows"]):
                row.pop("passing", None)
            return found == ours

        local.close()
        assert same(tool_query(path))
        subprocess.run(["ovsdb-tool", "compact", path], check=True)
        local = Local(files.open_database(path))
        assert same(local.client().transact("Every", *selects))
        local.close()


def test_without_column_diffs(path):
    """Values are written whole, for servers that do not know differences."""
    local = opened(path)
    local.service.databases["Count"].file.as_diff = False
    add(local, 1)
    mutation = ["words", "insert", ["set", ["c"]]]
    mutate = {"op": "mutate", "table": "T", "where": [], "mutations": [mutation]}
    assert local.client().transact("Count", mutate) == [{"count": 1}]
    local.close()
    with open(path, "rb") as file:
        *_, (_, last) = read_records(file.read(), path)
    assert "_is_diff" not in last
    [row] = last["T"].values()
    assert row["words"] == ["set", ["a", "b", "c"]]
    database = files.open_database(path)
    database.file.close()
    [row] = database.tables["T"].rows.values()
    assert row["words"] == ("a", "b", "c")


# --- compaction


def compact(local, name="Count"):
    """Compact, with a transaction in the middle; the error or None."""
    found = []
    local.service.compact(local.service.databases[name], found.append)
    add(local, 1000)
    local.service.databases[name].file.run_compaction(time.monotonic(), wait=True)
    assert len(found) == 1
    return found[0]


def test_a_compaction_waits_for_no_timer(path, monkeypatch):
    """Whoever compacts again and again, on one connection, would wait a second each time."""
    monkeypatch.setattr(ovsdb_server, "SCAN_MSEC", 3_600_000)
    local = opened(path)
    loop = ovsdb_server.Loop(local.service)
    found, turns = [], []
    loop.timers.append(turns.append)  # the control connections' turn
    for _ in range(3):
        local.service.compact(local.service.databases["Count"], found.append)
        wait_until(lambda: loop.run(None) or not local.service.compacting, what="the compaction")
    assert found == [None] * 3 and len(turns) == 3
    local.service.compact(local.service.databases["Count"], found.append)
    local.service.remove_database("Count")
    loop.run(None)
    assert not local.service.compacting and len(found) == 3
    loop.close()


def test_compaction_keeps_everything(path):
    local = opened(path)
    add(local, *range(50))
    client = local.client()
    client.transact("Count", {"op": "delete", "table": "T", "where": [["n", ">=", 10]]})
    before = os.path.getsize(path)
    assert compact(local) is None
    assert os.path.getsize(path) < before
    add(local, 1001)
    local.close()
    database = files.open_database(path)
    database.file.close()
    assert numbers(database) == [*range(10), 1000, 1001]
    assert not os.path.exists(path + ".tmp")


def test_compaction_that_fails_changes_nothing(path, monkeypatch):
    local = opened(path)
    add(local, *range(5))

    def rename(*_names):
        raise OSError(errno.EROFS, "")

    monkeypatch.setattr(os, "rename", rename)
    assert "Read-only" in str(compact(local))
    monkeypatch.undo()
    add(local, 7)
    local.close()
    database = files.open_database(path)
    database.file.close()
    assert numbers(database) == [0, 1, 2, 3, 4, 7, 1000]
    assert not os.path.exists(path + ".tmp")


def test_when_a_file_is_compacted_by_itself(path, monkeypatch):
    local = opened(path)
    file = local.service.databases["Count"].file
    start = file.compacted_at = 1000.0  # whose sums with these are exact
    add(local, *range(files.COMPACT_MIN_COMMITS - 1))
    assert not file.wants_compaction(start + files.COMPACT_MAX_SECONDS)
    add(local, 5000)
    assert file.wants_compaction(start + files.COMPACT_MAX_SECONDS)
    assert not file.wants_compaction(start + files.COMPACT_MIN_SECONDS)
    monkeypatch.setattr(files, "COMPACT_MIN_SIZE", 1000)
    assert file.wants_compaction(start + files.COMPACT_MIN_SECONDS)
    assert not file.wants_compaction(start + files.COMPACT_MIN_SECONDS - 1)
    local.close()


def test_what_to_do_with_a_damaged_file(tmp_path):
    """The message's command makes the file one that can be opened, with all before the damage."""
    path = str(tmp_path / "db")
    files.create(path, COUNTER)
    database = files.open_database(path)
    sizes = []
    for number in range(3):
        execute(database, [insert("T", n=number)])
        sizes.append(database.file.log.size)
    database.file.close()
    with open(path, "r+b") as file:
        file.seek(sizes[1] - 10)
        file.write(b"?")
    with pytest.raises(OvsdbError) as caught:
        files.open_database(path)
    command = re.search(r"'(cp .*)'", str(caught.value))[1]
    subprocess.run(command, shell=True, check=True)
    opened = files.open_database(path)
    assert [row["n"] for row in opened.tables["T"].rows.values()] == [(0,)]
    opened.file.close()
    assert (tmp_path / "db.damaged").stat().st_size == sizes[-1]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_file_damaged_in_any_way_is_opened_or_refused(data):
    """By changed bytes, by records of another form under a right hash: never an exception that
    is not the file's."""
    rows = {"0" * 8 + "-0000-0000-0000-" + "0" * 12: {"n": 1, "words": ["set", ["a"]]}}
    values = st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["T", "n", "words", *rows, "_is_diff", ""]), inner)
        ),
        max_leaves=8,
    )
    records = [COUNTER, {"T": rows}, {"T": rows, "_is_diff": True}]
    records += data.draw(st.lists(values, max_size=3))
    if data.draw(st.booleans()):
        records[0] = data.draw(values)
    text = bytearray(b"".join(encode_record(each) for each in records))
    for _ in range(data.draw(st.integers(0, 2))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/db"
        with open(path, "wb") as file:
            file.write(text[: data.draw(st.integers(0, len(text)))])
        try:
            files.open_database(path).file.close()
        except OvsdbError as error:
            assert path in str(error)
