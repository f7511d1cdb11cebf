"""Messages come out of the stream as the library itself would take them."""

import errno
import json
import socket

import ovs.jsonrpc
import ovs.poller
import ovs.stream
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vswitchd.database.fast_jsonrpc import Connection

LIBRARY = next(c for c in Connection.__mro__ if c.__module__ == "ovs.jsonrpc")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def pair(kind):
    """A connection of this class and the socket at its other end."""
    ours, other = socket.socketpair()
    ours.setblocking(False)
    return kind(ovs.stream.Stream(ours, "test", 0)), other


def receive(connection):
    """All that can be had now, as (error, JSON)."""
    found = []
    while True:
        error, message = connection.recv()
        if error == errno.EAGAIN:
            return found
        if error:
            return [*found, error]
        found.append(message.to_json())


@settings(max_examples=100, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=4), st.data())
def test_any_split_gives_the_same_messages(values, data):
    texts = [{"method": "update", "params": [value], "id": None} for value in values]
    stream = b"".join(json.dumps(text, ensure_ascii=False).encode() for text in texts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
    connection, other = pair(Connection)
    try:
        found = []
        for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            other.sendall(stream[begin:end])
            found += receive(connection)
        assert found == [{key: text[key] for key in found[0]} for text in texts]
    finally:
        other.close()


@pytest.mark.parametrize(
    "data", [b"x", b'{"a":}', b"[1]", b'{"id":1}', b'{"method":"m","params":[],"id":null}x', b""]
)
def test_what_is_no_message_ends_the_connection_as_in_the_library(data):
    ends = []
    for kind in (Connection, LIBRARY):
        connection, other = pair(kind)
        other.sendall(data)
        other.close()
        ends.append(receive(connection))
    # The library takes "x" for the beginning of a word, and waits for the rest.
    assert ends[0][:-1] == ends[1][:-1]
    assert ends[0][-1] and ends[1][-1]


def test_a_message_that_is_there_already_wakes():
    connection, other = pair(Connection)
    message = b'{"method":"m","params":[],"id":null}'
    other.sendall(message * 2 + message[:10])
    assert connection.recv()[0] == 0

    def wakes():
        poller = ovs.poller.Poller()
        connection.recv_wait(poller)
        return poller.timeout == 0

    assert wakes() and wakes()
    assert connection.recv()[0] == 0
    assert not wakes()
    other.sendall(message[10:])
    assert len(receive(connection)) == 1
    other.close()
