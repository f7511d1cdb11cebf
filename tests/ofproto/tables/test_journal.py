"""The flow journal: what is written comes back, whatever happens to the file's end."""

import itertools
import os
import struct
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofproto.codec import messages as m
from ofproto.codec.numbers import OF13
from ofproto.tables import flow_log, journal, replay
from ofproto.tables.flow_log import FlowLog
from ofproto.tables.flow_table import FlowTables
from ofproto.tables.journal import (
    BUNDLE_END,
    BUNDLE_PART,
    CLEAR,
    DAMAGED,
    DAMAGES,
    FLOW_MOD,
    HEADER,
    STATE,
    WAIT,
    Journal,
)
from ofproto.tables.mod_plan import ModPlans
from ofproto.text import flow_text
from ofproto.xlate.bridges.xbridge import XBridge

RECORDS = st.lists(
    st.tuples(st.sampled_from([FLOW_MOD, CLEAR, STATE]), st.integers(0, 1 << 60), st.binary()),
    max_size=8,
)


def written(path, records):
    log = Journal(str(path))
    list(log.replay())
    for kind, when, payload in records:
        log.append(kind, payload, when)
    log.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "br0.flows"


@settings(max_examples=60, deadline=None)
@given(RECORDS, RECORDS)
def test_round_trip_and_append(tmp_path_factory, first, second):
    path = tmp_path_factory.mktemp("log") / "flows"
    written(path, first)
    assert os.stat(path).st_mode & 0o777 == 0o600
    written(path, second)
    assert list(Journal(str(path)).replay()) == first + second


def whole_records(log):
    return [record for record in log.replay() if record[0] != DAMAGED]


@settings(max_examples=100, deadline=None)
@given(RECORDS, st.data())
def test_a_torn_tail_is_cut(tmp_path_factory, records, data):
    path = tmp_path_factory.mktemp("log") / "flows"
    written(path, records)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    log = Journal(str(path))
    found = whole_records(log)
    assert found == records[: len(found)]
    log.append(FLOW_MOD, b"later", 1)
    log.close()
    assert list(Journal(str(path)).replay()) == [*found, (FLOW_MOD, 1, b"later")]


@settings(max_examples=100, deadline=None)
@given(RECORDS.filter(bool), st.data())
def test_only_what_is_damaged_is_lost(tmp_path_factory, records, data):
    path = tmp_path_factory.mktemp("log") / "flows"
    written(path, records)
    whole = path.read_bytes()
    at = data.draw(st.integers(whole.index(b"\n") + 1, len(whole) - 1))
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
    end, hit = whole.index(b"\n") + 1, -1
    while end <= at:
        hit += 1
        end += HEADER.size + 1 + len(records[hit][2])
    before = DAMAGES.count
    log = Journal(str(path))
    found = [record[::2] for record in whole_records(log)]
    wanted = [record[::2] for record in records]
    # The record's time is not covered by the checksum: it may differ in the damaged one.
    assert found in (wanted, wanted[:hit] + wanted[hit + 1 :])
    assert DAMAGES.count - before == (len(found) < len(records) and hit < len(records) - 1)
    log.append(FLOW_MOD, b"later", 1)
    log.close()
    assert [record[::2] for record in whole_records(Journal(str(path)))] == [
        *found,
        (FLOW_MOD, b"later"),
    ]


# What might be a record of `size` bytes at each 20 or so.
def noise(size, count):
    return (struct.pack("!I", size) + bytes(12) + b"F" + b"noise" * 3) * count


@pytest.mark.parametrize(
    ("between", "is_found"),
    [
        (noise(0xFF00, 1 << 13), True),
        ((bytes(12) + b"\0\0\0\1" + b"F" * 12) * (1 << 15), True),
        (noise(0, 1 << 15), True),
        (noise(1 << 18, 1 << 14), False),
    ],
)
def test_a_long_search_is_done_in_pieces(path, between, is_found):
    """Noise full of what might be a record, between two that are: no piece is long, nor all."""
    written(path, [(FLOW_MOD, 1, b"first")])
    with path.open("ab") as file:
        file.write(between)
        file.write(journal._record(FLOW_MOD, b"last", 2))
    pieces = [work for _, work in journal._search(path.read_bytes(), 1000)]
    assert max(pieces) <= 2 * journal.SEARCH_SIZE + journal.MAX_RECORD + journal.CANDIDATE
    candidates = len(journal._KINDS.findall(between))
    assert sum(pieces) >= (candidates - 100) * journal.CANDIDATE
    log = Journal(str(path))
    found = [each for each in log.replay() if each[0] != WAIT]
    log.close()
    assert found[0] == (FLOW_MOD, 1, b"first")
    assert (found[-1] == (FLOW_MOD, 2, b"last")) == is_found
    assert len(found) <= 2 * journal.MOST_SEARCHED // journal.SEARCH_SIZE
    assert (path.stat().st_size > len(between)) == is_found


def test_another_boot_starts_empty(path, monkeypatch):
    written(path, [(FLOW_MOD, 1, b"old")])
    monkeypatch.setattr(journal, "_boot_id", lambda: "another")
    assert list(Journal(str(path)).replay()) == []
    assert list(Journal(str(path)).replay()) == []


def test_rewrite(path):
    log = Journal(str(path))
    list(log.replay())
    for number in range(50_000):
        log.append(FLOW_MOD, b"x" * 16, number)
    assert log.has_grown and log.wants_compaction(10_000)
    log.start_rewrite()
    log.append(FLOW_MOD, b"while", 5)
    log.rewrite(FLOW_MOD, b"all", 7)
    assert log.rewriting
    log.append(FLOW_MOD, b"it goes on", 6)
    log.finish_rewrite()
    assert not log.rewriting and not log.wants_compaction(0)
    assert (log.n_records, log.size) == (3, os.path.getsize(path))
    log.append(FLOW_MOD, b"more", 8)
    log.close()
    found = list(Journal(str(path)).replay())
    assert found == [
        (FLOW_MOD, 7, b"all"),
        (FLOW_MOD, 5, b"while"),
        (FLOW_MOD, 6, b"it goes on"),
        (FLOW_MOD, 8, b"more"),
    ]
    assert not os.path.exists(f"{path}.new")


def test_a_rewrite_that_does_not_end(path):
    log = Journal(str(path))
    list(log.replay())
    log.append(FLOW_MOD, b"one", 1)
    log.start_rewrite()
    log.rewrite(FLOW_MOD, b"other", 2)
    log.close()
    assert list(Journal(str(path)).replay()) == [(FLOW_MOD, 1, b"one")]
    assert not os.path.exists(f"{path}.new")


def test_what_is_needed_is_not_written_again(path):
    log = Journal(str(path))
    list(log.replay())
    asked = 0
    for number in range(100_000):
        log.append(FLOW_MOD, b"x" * 16, number)
        if log.has_grown:
            asked += 1
            assert not log.wants_compaction(log.n_records)
    assert 1 <= asked <= 3
    log.close()


def test_a_disk_that_takes_no_more_ends_the_journal(path, monkeypatch):
    log = Journal(str(path))
    list(log.replay())
    log.append(FLOW_MOD, b"one", 1)
    log.flush()
    assert path.read_bytes().endswith(b"one")
    monkeypatch.setattr(os, "write", lambda fd, data: 3)
    log.append(FLOW_MOD, b"two", 2)
    log.flush()
    monkeypatch.undo()
    assert not path.exists()  # half a history would be worse than none
    log.append(FLOW_MOD, b"three", 3)
    assert not path.exists()


def test_without_a_path_nothing_is_kept():
    log = Journal(None)
    assert list(log.replay()) == []
    log.append(FLOW_MOD, b"x", 1)
    assert not log.wants_compaction(0)
    log.close(delete=True)


def test_deleted_with_its_bridge(path):
    log = Journal(str(path))
    list(log.replay())
    log.close(delete=True)
    assert not path.exists()


# --- what the tables make of it

N_FLOWS = 12


def flow_mod(command, number, port, by_cookie):
    if by_cookie:
        text = f"ip,cookie={number % 2}/1"
    else:
        text = f"ip,nw_dst=10.0.0.{number}"
        if command in (m.ADD, m.MODIFY_STRICT, m.DELETE_STRICT):
            text += f",priority={number % 3}"
        if command == m.ADD:
            text += f",cookie={number % 2}"
    if command in (m.DELETE, m.DELETE_STRICT):
        text += f",out_port={port}"
    else:
        text += f",actions=output:{port}"
    made = flow_text.parse_flow(text, command)
    made.table_id = 0
    return made


MODS = st.lists(
    st.tuples(
        st.sampled_from([m.ADD, m.MODIFY, m.MODIFY_STRICT, m.DELETE, m.DELETE_STRICT]),
        st.integers(1, N_FLOWS),
        st.integers(1, 2),
        st.booleans(),
        st.integers(0, 3),  # turns of the journal after it
    ),
    max_size=15,
)


def contents(tables):
    return sorted(
        (rule.table_id, rule.priority, str(rule.match), rule.cookie, str(list(rule.actions)))
        for rule in tables.rules()
    )


@settings(max_examples=100, deadline=None)
@given(MODS)
def test_flows_that_change_while_the_journal_is_shortened(tmp_path_factory, mods):
    path = str(tmp_path_factory.mktemp("log") / "flows")
    tables = FlowTables(XBridge("br0"))
    log = FlowLog(path, tables)
    log.restore(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow_log, "SLICE_SECONDS", 0)
        patch.setattr(flow_log, "BATCH", 1)
        patch.setattr(replay, "BATCH", 1)
        for number in range(1, N_FLOWS + 1):
            execute(log, tables, flow_mod(m.ADD, number, 1, False))
        log._start(0)
        for command, number, port, by_cookie, turns in mods:
            by_cookie = by_cookie and command in (m.MODIFY, m.DELETE)
            execute(log, tables, flow_mod(command, number, port, by_cookie))
            for _ in range(turns):
                log.run(0)
        for _ in range(N_FLOWS + 2):
            log.run(0)
    assert not log._journal.rewriting and not log._pending
    again = FlowTables(XBridge("br0"))
    log.close()
    later = FlowLog(path, again, plans=ModPlans(again))
    later.restore(0)
    later.close()
    assert contents(again) == contents(tables)


def test_a_journal_comes_back_when_the_disk_takes_it_again(path, monkeypatch):
    """Also what is changed while it is written anew is in it, and not before all of it is."""
    tables = FlowTables(XBridge("br0"))
    log = FlowLog(path, tables)
    log.restore(0)
    monkeypatch.setattr(flow_log, "SLICE_SECONDS", 0)
    monkeypatch.setattr(flow_log, "BATCH", 1)
    for number in range(1, N_FLOWS + 1):
        execute(log, tables, flow_mod(m.ADD, number, 1, False))
    with pytest.MonkeyPatch.context() as full:
        full.setattr(os, "write", lambda fd, data: len(data) - 1)
        log.flush()
        assert not os.path.exists(path)
    log.run(0)
    log.run(flow_log.RETRY_MS - 1)
    assert not log._journal.rewriting
    log.run(flow_log.RETRY_MS)
    execute(log, tables, flow_mod(m.DELETE, 1, 1, False))
    execute(log, tables, flow_mod(m.ADD, 2, 7, False))
    assert log._journal.rewriting and not os.path.exists(path)
    for _ in range(N_FLOWS + 2):
        log.run(flow_log.RETRY_MS)
    execute(log, tables, flow_mod(m.ADD, 3, 8, False))
    log.close()
    again = FlowTables(XBridge("br0"))
    later = FlowLog(path, again)
    later.restore(0)
    later.close()
    assert contents(again) == contents(tables) and len(again) == N_FLOWS - 1


def test_each_try_to_write_it_anew_comes_later(path, monkeypatch):
    tables = FlowTables(XBridge("br0"))
    log = FlowLog(path, tables)
    log.restore(0)
    execute(log, tables, flow_mod(m.ADD, 1, 1, False))
    tries = []
    begin = log._journal.begin_anew
    monkeypatch.setattr(log._journal, "begin_anew", lambda: tries.append(now) or begin())
    monkeypatch.setattr(os, "write", lambda fd, data: len(data) - 1)
    monkeypatch.setattr(
        journal.Journal, "rewrite", lambda self, *_: self._fail(OSError(28, "full"))
    )
    log.flush()
    for now in range(0, 10**6, 1000):
        log.run(now)
    gaps = [later - earlier for earlier, later in pairwise(tries)]
    assert len(tries) < 10 and gaps == sorted(gaps) and gaps[-1] >= flow_log.LONGEST_RETRY_MS
    log.close()


def test_a_change_of_many_flows_is_replayed_in_pieces(path):
    many = 3000
    tables = FlowTables(XBridge("br0"))
    log = FlowLog(str(path), tables)
    log.restore(0)
    for number in range(many):
        text = f"cookie={number % 3},priority={number} actions=output:1"
        execute(log, tables, flow_text.parse_flow(text, m.ADD))
    execute(log, tables, flow_text.parse_flow("cookie=1/-1 actions=output:2", m.MODIFY))
    execute(log, tables, flow_text.parse_flow("cookie=0/-1,out_port=1", m.DELETE))
    log.note(b"s", 0)
    log.close()
    again = FlowTables(XBridge("br0"))
    later = FlowLog(str(path), again)
    sizes = [len(again) for _ in later.restoring(lambda: 0)]
    assert contents(again) == contents(tables) and len(again) == many * 2 // 3
    assert max(before - after for before, after in pairwise(sizes)) <= replay.BATCH
    assert len(sizes) > many + 2 * (many // 3 // replay.BATCH)
    later.close()


def test_a_large_journal_is_read_in_pieces(path):
    n, size = 40, 1 << 17
    records = [(STATE, number, bytes(size)) for number in range(n)]
    written(path, records)
    read = list(Journal(str(path)).replay())
    assert [each for each in read if each[0] != WAIT] == records
    first = read.index(records[0])
    assert min(first, len(read) - first - n) >= n * size // journal.COPY_SIZE  # before, and after
    steps = iter(FlowLog(str(path), FlowTables(XBridge("br0"))).restoring(lambda: 0))
    assert sum(1 for _ in steps) >= len(read)
    with open(path, "ab") as file:
        file.truncate(len(journal._first_line()) + 2 * (size + 17) + 5)
    assert [each[0] for each in Journal(str(path)).replay() if each[0] in (STATE, DAMAGED)] == [
        STATE, STATE, DAMAGED,
    ]  # fmt: skip


def test_no_flow_is_idle_after_a_long_replay(path):
    tables = FlowTables(XBridge("br0"))
    log = FlowLog(str(path), tables)
    log.restore(0)
    for number in range(100):
        text = f"idle_timeout=5,priority={number} actions=drop"
        execute(log, tables, flow_text.parse_flow(text, m.ADD))
    log.close()
    again = FlowTables(XBridge("br0"))
    later = FlowLog(str(path), again)
    seconds = itertools.count()
    for _ in later.restoring(lambda: 1000 * next(seconds) + 60_000):
        pass
    later.close()
    again.expire(60_000 + 4000)
    assert len(again) == 100 and next(seconds) > 100 // flow_log.BATCH


def test_a_bundle_that_cannot_be_read_takes_nothing_else_away(path):
    log = Journal(str(path))
    list(log.replay())
    raw = flow_text.parse_flow("priority=7 actions=drop", m.ADD).encode(OF13)
    number = bytes(journal.NUMBER_SIZE)
    log.append(FLOW_MOD, raw, 1)
    log.append(journal.BUNDLE_PART, number + b"\4", 1)
    log.append(journal.BUNDLE_END, number, 1)
    log.append(FLOW_MOD, raw.replace(b"\0\7", b"\0\10"), 1)
    log.append(STATE, b"s", 1)
    log.close()
    tables = FlowTables(XBridge("br0"))
    later = FlowLog(str(path), tables)
    assert later.restore(0) == b"s" and len(tables) == 2
    later.close()


def test_a_bundle_that_lacks_something_is_not_there_in_part(path):
    """Whichever of its records is damaged, the first and the last ones too; the next one is."""
    number, other = bytes(journal.NUMBER_SIZE), b"\1" * journal.NUMBER_SIZE
    adds = [flow_mod(m.ADD, number, 1, False).encode(OF13) for number in range(1, 8)]
    parts = [(BUNDLE_PART, 1, number + raw) for raw in adds[1:4]]
    records = [(FLOW_MOD, 1, adds[0]), *parts, (BUNDLE_END, 1, number), (FLOW_MOD, 1, adds[4])]
    records += [(BUNDLE_PART, 1, other + adds[5]), (BUNDLE_END, 1, other), (STATE, 1, b"s")]
    for lost in (*range(1, 5), None):
        path.unlink(missing_ok=True)
        written(path, records)
        if lost is not None:
            whole = path.read_bytes()
            at = whole.index(b"\n") + 1
            at += sum(HEADER.size + 1 + len(payload) for _, _, payload in records[:lost])
            path.write_bytes(whole[: at + 4] + b"xxxx" + whole[at + 8 :])
        tables = FlowTables(XBridge("br0"))
        log = FlowLog(str(path), tables)
        assert log.restore(0) == b"s"
        log.close()
        # Where the end is what lacks, the next bundle is taken for the one that may lack something.
        assert len(tables) == {None: 6, 4: 2}.get(lost, 3), lost


def execute(log, tables, mod):
    raw = mod.encode(OF13)
    log.flow_mod(raw, False, 0)
    tables.flow_mod(m.decode(raw), OF13, 0)


def test_a_record_that_causes_a_fault_costs_itself_only(path, monkeypatch):
    """It was written before it was executed, and is there at each start."""
    adds = [flow_mod(m.ADD, number, 1, False).encode(OF13) for number in (1, 2)]
    written(path, [(FLOW_MOD, 1, adds[0]), (FLOW_MOD, 2, adds[1]), (STATE, 3, b"s")])
    tables = FlowTables(XBridge("br0"))
    real = tables.flow_mod

    def fault_at_first(*args):
        monkeypatch.undo()
        raise KeyError("a fault of ours")

    monkeypatch.setattr(tables, "flow_mod", fault_at_first)
    log = FlowLog(str(path), tables)
    assert log.restore(4) == b"s"
    assert len(tables) == 1 and tables.flow_mod == real
    log.close()
