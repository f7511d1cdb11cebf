"""The flow journal: what is written comes back, whatever happens to the file's end."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofproto import journal
from ofproto.journal import CLEAR, FLOW_MOD, STATE, Journal

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


@settings(max_examples=100, deadline=None)
@given(RECORDS, st.data())
def test_a_torn_or_damaged_tail_is_cut(tmp_path_factory, records, data):
    path = tmp_path_factory.mktemp("log") / "flows"
    written(path, records)
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        path.write_bytes(whole[:at])
    else:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
    log = Journal(str(path))
    found = list(log.replay())
    # The record's time is not covered by the checksum: it may differ in the damaged one.
    assert [(kind, payload) for kind, _, payload in found] == [
        (kind, payload) for kind, _, payload in records[: len(found)]
    ]
    log.append(FLOW_MOD, b"later", 1)
    log.close()
    assert list(Journal(str(path)).replay())[len(found) :] == [(FLOW_MOD, 1, b"later")]


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
    log.rewrite([(FLOW_MOD, 7, b"all")])
    assert not log.wants_compaction(0)
    log.append(FLOW_MOD, b"more", 8)
    log.close()
    assert list(Journal(str(path)).replay()) == [(FLOW_MOD, 7, b"all"), (FLOW_MOD, 8, b"more")]
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
    monkeypatch.setattr(os, "write", lambda fd, data: 3)
    log.append(FLOW_MOD, b"two", 2)
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
