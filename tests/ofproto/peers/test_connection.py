"""OpenFlow connections without sockets: bytes in any cut, from any peer."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofproto.codec import messages as m
from ofproto.peers import connection as c
from ofproto.peers.connection import CLOSED, HELLO_WAIT, RUNNING, OFConnection
from tests.ofproto.codec_samples import CASES

OF10, OF13 = 1, 4


def header(kind, version=OF13, xid=0, body=b""):
    return c.HEADER.pack(version, kind, 8 + len(body), xid) + body


def hello(version, xid=0, body=b""):
    return header(c.OFPT_HELLO, version, xid, body)


def bitmap(*versions):
    """A HELLO element that offers these."""
    return b"\0\1\0\x08" + sum(1 << each for each in versions).to_bytes(4, "big")


def cut(data):
    """Whole messages of what a connection wrote."""
    found, at = [], 0
    while at < len(data):
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        assert 8 <= length <= len(data) - at
        found.append(data[at : at + length])
        at += length
    return found


def started(version=OF13, allowed=(OF10, OF13)):
    """A connection after the handshake, with nothing to write."""
    connection = OFConnection(allowed)
    connection.receive(hello(version))
    assert connection.next_message() is None
    assert connection.version == version
    connection.pull()
    return connection


def drain(connection):
    """What the switch gets to see."""
    return list(iter(connection.next_message, None))


# --- framing

SAMPLES = sorted({message.encode(version, 7, **words) for message, version, words in CASES})


def seen(raw):
    """Whether the switch has to look at a message of a running connection."""
    return raw[1] not in (c.OFPT_HELLO, c.OFPT_ECHO_REQUEST, c.OFPT_ECHO_REPLY)


@pytest.mark.parametrize("version", [OF10, OF13])
def test_each_sample_whole_and_with_another_behind(version):
    for raw in (each for each in SAMPLES if each[0] == version):
        connection = started(version)
        connection.receive(raw)
        assert drain(connection) == [raw] * seen(raw)
        behind = header(5, version, 9)
        connection.receive(raw + behind)
        assert drain(connection) == [raw] * seen(raw) + [behind]
        assert connection.version == version and connection.state is RUNNING


@pytest.mark.parametrize("version", [OF10, OF13])
def test_each_sample_byte_by_byte(version):
    for raw in (each for each in SAMPLES if each[0] == version):
        connection = started(version)
        found = []
        for at in range(len(raw)):
            assert not connection.has_input and not found
            connection.receive(raw[at : at + 1])
            found += drain(connection)
        assert found == [raw] * seen(raw)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(SAMPLES), max_size=6), st.lists(st.integers(1, 300)), st.data())
def test_any_cut_gives_the_same(samples, sizes, data):
    stream = hello(OF13) + b"".join(samples)
    whole, pieces = OFConnection(), OFConnection()
    whole.receive(stream)
    wanted = drain(whole)
    found, at = [], 0
    for size in itertools.chain(sizes, itertools.repeat(1000)):
        if at >= len(stream):
            break
        pieces.receive(stream[at : at + size])
        at += size
        found += drain(pieces)
    assert found == wanted and pieces.pull(1 << 30) == whole.pull(1 << 30)
    assert (pieces.state, pieces.version, pieces.error) == (whole.state, whole.version, whole.error)


# --- hostile peers


def feed(connection, chunks, reading):
    """The pump of rconn with a peer that reads or not; returns the most bytes that were kept."""
    most = 0
    for chunk in chunks:
        if not connection.wants_input:
            break
        connection.receive(chunk)
        while (raw := connection.next_message()) is not None or connection.has_input:
            if raw is None:
                continue
            try:
                m.decode(raw)
            except m.OFError as error:
                connection.send(m.error(error, raw, connection.version))
        most = max(most, connection.backlog + len(connection._input))
        if reading:
            cut(connection.pull(1 << 30))
    return most


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=400), max_size=8), st.booleans())
def test_random_bytes(chunks, greeted):
    connection = started() if greeted else OFConnection()
    assert feed(connection, chunks, True) < 1 << 17
    assert connection.state in (HELLO_WAIT, RUNNING, CLOSED)
    assert (connection.error is None) == (connection.state is not CLOSED)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), min_size=1, max_size=4),
    st.integers(0, 40),
)
def test_mutated_messages(raw, changes, shorter):
    data = bytearray(raw)
    for at, value in changes:
        data[at % len(data)] = value
    connection = started(raw[0])
    feed(connection, [bytes(data[: len(data) - shorter]), raw, hello(raw[0])], True)
    assert connection.state in (RUNNING, CLOSED)


@pytest.mark.parametrize(
    "request_",
    [
        header(c.OFPT_ECHO_REQUEST, body=bytes(60000)),
        header(c.OFPT_ECHO_REQUEST),
        header(0x63, body=bytes(1000)),
        header(5, OF10),
    ],
    ids=["large echo", "echo", "bad type", "bad version"],
)
def test_a_peer_that_asks_and_never_reads_has_to_wait(request_):
    """Memory is bounded, nothing is lost: the socket is not read until the peer does."""
    connection = started()
    chunk = request_ * max(1, 65536 // len(request_))
    most = feed(connection, itertools.repeat(chunk), False)
    assert connection.state is RUNNING and not connection.has_input
    assert most < c.REQUEST_BACKLOG + c.INPUT_LIMIT + 2 * 65536
    waiting = len(connection._input) // len(request_)
    cut(connection.pull(1 << 30))
    assert connection.wants_input or connection.has_input or not waiting


def test_a_peer_that_never_reads_what_comes_unasked_is_cut_off():
    connection = started()
    data = header(12, body=bytes(60000))
    connection.send_long(data for _ in itertools.count())
    for _ in range(c.OUTPUT_LIMIT // len(data) + 2):
        connection.send(data)
    assert connection.state is CLOSED and connection.error == "peer does not read"
    assert not connection.has_output and not connection.backlog
    connection.send(data)
    connection.send_long(iter([data]))
    assert not connection.has_output


def test_who_is_gone_gets_no_more_output():
    connection = started()
    connection.send(header(12, body=bytes(600)))
    connection.discard()
    connection.send(header(12, body=bytes(600)))
    connection.send_packet_in(header(10, body=bytes(600)))
    connection.send_long(iter([header(12)]))
    assert not connection.has_output and not connection.backlog


def test_packet_ins_are_dropped_and_counted():
    connection = started()
    data = header(10, body=bytes(1400))
    taken = sum(connection.send_packet_in(data) for _ in range(1000))
    assert c.PACKET_IN_BACKLOG <= taken * len(data) <= c.PACKET_IN_BACKLOG + 2 * len(data)
    assert connection.n_packet_in_dropped == 1000 - taken
    status = header(12)
    connection.send(status)  # what must not be lost is not
    connection.pull(1 << 30)
    assert connection.send_packet_in(data)


def test_no_packet_in_before_the_handshake():
    connection = OFConnection()
    assert not connection.send_packet_in(header(10))
    assert connection.n_packet_in_dropped == 1


# --- handshake

EVENTS = {
    "hello": hello(OF13),
    "error": header(1, body=b"\0\0\0\0no\0"),
    "echo": header(2, body=b"x"),
    "echo reply": header(3),
    "message": header(5),
}
OUTCOMES = {
    (HELLO_WAIT, "hello"): (RUNNING, 0),
    (HELLO_WAIT, "error"): (CLOSED, 0),
    (HELLO_WAIT, "echo"): (CLOSED, 0),
    (HELLO_WAIT, "echo reply"): (HELLO_WAIT, 0),
    (HELLO_WAIT, "message"): (CLOSED, 0),
    (RUNNING, "hello"): (RUNNING, 0),
    (RUNNING, "error"): (RUNNING, 1),
    (RUNNING, "echo"): (RUNNING, 0),
    (RUNNING, "echo reply"): (RUNNING, 0),
    (RUNNING, "message"): (RUNNING, 1),
}


@pytest.mark.parametrize(("state", "event"), OUTCOMES)
def test_handshake_table(state, event):
    connection = OFConnection() if state is HELLO_WAIT else started()
    connection.receive(EVENTS[event])
    found = drain(connection)
    assert (connection.state, len(found)) == OUTCOMES[state, event]


def test_closed_takes_and_gives_nothing():
    connection = OFConnection()
    connection.receive(header(5) + hello(OF13) + header(5))
    assert drain(connection) == [] and not connection.wants_input and not connection.has_input
    connection.receive(bytes(1 << 20))
    assert not connection._input
    sent = cut(connection.pull())
    assert [each[1] for each in sent] == [0, 1]  # HELLO, and why it ends
    assert not connection.has_output


@pytest.mark.parametrize(
    ("allowed", "theirs", "agreed"),
    [
        ((1, 4), hello(4), 4),
        ((1, 4), hello(6), 4),
        ((1, 4), hello(3), 1),
        ((1, 4), hello(1), 1),
        ((1, 4), hello(5, body=bitmap(1, 5)), 1),
        ((1, 4), hello(1, body=bitmap(4)), 4),  # the bitmap counts, whatever the header says
        ((4,), hello(6, body=bitmap(4, 6)), 4),
        ((4,), hello(1), None),
        ((4,), hello(6, body=bitmap(5, 6)), None),
        ((1,), hello(0x63), 1),
        ((1,), hello(0), None),
        ((1, 4), hello(4, body=b"\0\1\0\4"), 4),  # an empty bitmap is broken
        ((1, 4), hello(4, body=b"\0\1\0\0"), 4),
        ((1, 4), hello(4, body=b"\0\1\0\xff\0\0\0\2"), 4),
        ((1, 4), hello(4, body=b"\0\1"), 4),
        ((4,), hello(4, body=b"\0\1\x1d\xc4\xff\xff\xff\xe0" + b"\xff" * 7616), None),
        ((4,), hello(4, body=b"\0\1\x1d\xc4\0\0\0\x10" + b"\xff" * 7616), 4),
        ((1, 4), hello(4, body=b"\0\x09\0\5x\0\0\0" + bitmap(1)), 1),  # behind an unknown element
        ((1, 4), hello(4, body=b"\0\1\0\x0c\0\0\0\2\xff\xff\xff\xff" + bytes(4)), 1),
    ],
)
def test_versions(allowed, theirs, agreed):
    connection = OFConnection(allowed)
    (mine,) = cut(connection.pull())
    assert c.decode_hello(mine) == set(allowed)
    connection.receive(theirs)
    assert connection.next_message() is None
    assert connection.version == agreed
    if agreed is None:
        (error,) = cut(connection.pull())
        reply = m.decode(error)
        assert reply.name == "OFPHFC_INCOMPATIBLE" and b"no common versions" in reply.data
        assert connection.state is CLOSED


@given(st.sets(st.integers(1, 6), min_size=1))
def test_hello_says_what_is_allowed(versions):
    raw = c.encode_hello(versions)
    assert raw[0] == max(versions) and c.decode_hello(raw) == versions
    if versions == set(range(1, max(versions) + 1)):
        assert len(raw) == 8  # old peers know no elements


def test_hello_stepwise():
    """OpenDaylight: a second HELLO with a lower version, before anything else."""
    connection = started(OF13)
    connection.receive(hello(OF10))
    assert drain(connection) == [] and connection.version == OF10
    connection.receive(header(5, OF10) + hello(OF13) + hello(2))
    assert len(drain(connection)) == 1 and connection.version == OF10
    late = started(OF13)
    late.receive(header(5) + hello(OF10, xid=6) + header(5))
    assert len(drain(late)) == 2 and late.version == OF13
    error = m.decode(cut(late.pull())[-1])
    assert (error.name, error.xid) == ("OFPBRC_BAD_TYPE", 6)


def test_peer_refuses():
    connection = OFConnection()
    connection.receive(header(1, 1, body=b"\0\0\0\0only 1.5\0"))
    assert drain(connection) == []
    assert connection.error == "peer refused the version: only 1.5"


def test_an_impossible_length_ends_it():
    connection = started()
    connection.receive(b"\4\5\0\7" + bytes(20))
    assert drain(connection) == [] and connection.error == "message of impossible length 7"


def test_another_version_is_refused_with_its_xid():
    connection = started(OF13)
    for raw in (header(5, OF10, 77), header(2, 9, 78)):
        connection.receive(raw)
        assert drain(connection) == []
        (reply,) = cut(connection.pull())
        error = m.decode(reply)
        assert (error.name, error.data, error.xid) == (
            "OFPBRC_BAD_VERSION",
            raw,
            int.from_bytes(raw[4:8], "big"),
        )
    assert connection.state is RUNNING


@given(st.binary(max_size=100), st.integers(0, (1 << 32) - 1))
def test_echo(data, xid):
    connection = started()
    connection.receive(header(c.OFPT_ECHO_REQUEST, xid=xid, body=data))
    assert connection.next_message() is None
    assert connection.pull() == header(c.OFPT_ECHO_REPLY, xid=xid, body=data)


def test_probe_before_and_after_the_handshake():
    connection = OFConnection()
    connection.pull()
    connection.probe()
    assert connection.pull() == header(c.OFPT_ECHO_REQUEST, max(connection.allowed))
    old = started(OF10)
    old.probe()
    assert old.pull() == header(c.OFPT_ECHO_REQUEST, OF10)


# --- output


def test_a_long_reply_holds_what_comes_behind():
    """Replies and barriers keep their order, and a reply is made as the peer reads."""
    connection = started()
    made = []

    def parts():
        for number in range(50):
            made.append(number)
            yield header(19, xid=number, body=bytes(60000))

    barriers = [header(20, xid=xid) for xid in (1, 2)]
    connection.receive(b"".join(barriers))
    assert connection.next_message() == barriers[0]
    connection.send_long(parts())
    connection.send(header(21, xid=1))
    while connection.may_advance:
        connection.advance()
    assert 0 < len(made) < 10 and not connection.wants_input
    connection.receive(header(2, xid=3))
    read = []
    while connection.has_output:
        connection.advance()
        assert len(made) == 50 or connection.next_message() is None
        read += cut(connection.pull())
    assert [int.from_bytes(each[4:8], "big") for each in read if each[1] == 19] == [*range(50)]
    assert connection.next_message() == barriers[1]
    assert connection.next_message() is None
    assert cut(connection.pull()) == [header(3, xid=3)]


def test_several_long_replies_in_turn():
    connection = started()
    for xids in (range(20), range(100, 120)):
        connection.send_long(iter([header(19, xid=xid, body=bytes(50000)) for xid in xids]))
    read = []
    while connection.has_output:
        connection.advance()
        read += cut(connection.pull())
    assert [int.from_bytes(each[4:8], "big") for each in read] == [*range(20), *range(100, 120)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 5000), min_size=1), st.data())
def test_unpull_loses_nothing(sizes, data):
    connection = started()
    sent = [header(10, xid=number, body=bytes(size)) for number, size in enumerate(sizes)]
    for each in sent:
        connection.send(each)
    got = b""
    while connection.has_output:
        pulled = connection.pull(3000)
        taken = data.draw(st.integers(0, len(pulled)))
        got += pulled[:taken]
        connection.unpull(pulled[taken:])
        assert connection.backlog == sum(map(len, sent)) - len(got)
        if not taken:
            got += connection.pull(1 << 30)
    assert got == b"".join(sent)


def test_snoop_sees_both_directions():
    connection = OFConnection()
    heard = []
    connection.snoop = heard.append
    connection.receive(hello(OF13) + header(2) + header(5))
    drain(connection)
    connection.send(header(6))
    assert heard == [hello(OF13), header(2), header(3), header(5), header(6)]
