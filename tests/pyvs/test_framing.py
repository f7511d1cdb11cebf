"""Messages out of a byte stream: cut anywhere, of any size, and what is no message."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyvs.streams import framing
from pyvs.streams.framing import FramingError, JsonStream

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.text(max_size=8)
    # What looks like the borders of messages.
    | st.sampled_from(["}{", '"', "\\", "\\\\", '"}{"', "][", "\x7f\n", "ä€\U0001f600"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=10,
)
OBJECTS = st.dictionaries(st.text(max_size=4), VALUES, max_size=4)
SPACES = st.text(" \t\r\n", max_size=3).map(str.encode)


def drain(stream):
    """The messages that are whole."""
    found = []
    while (message := stream.next()) is not None:
        found.append(message)
    return found


@st.composite
def streams(draw):
    """(messages, their bytes)"""
    messages = draw(st.lists(OBJECTS, max_size=4))
    ascii_only = draw(st.booleans())
    indent = draw(st.sampled_from([None, 1]))
    data = draw(SPACES)
    for message in messages:
        text = json.dumps(message, ensure_ascii=ascii_only, indent=indent)
        data += text.encode() + draw(SPACES)
    return messages, data


@given(streams(), st.data())
def test_messages_cut_anywhere(stream, data):
    messages, octets = stream
    cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=6)))
    reader, found = JsonStream(), []
    for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True):
        reader.feed(octets[start:end])
        found += drain(reader)
    assert found == [orjson.loads(json.dumps(message)) for message in messages]


@given(streams())
def test_messages_byte_by_byte(stream):
    messages, octets = stream
    reader, found = JsonStream(), []
    for octet in octets:
        reader.feed(bytes([octet]))
        found += drain(reader)
    assert found == [orjson.loads(json.dumps(message)) for message in messages]
    assert reader.pending <= len(octets)


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_any_bytes(parts):
    """Objects come out, or FramingError; and then again and again."""
    reader = JsonStream()
    for part in parts:
        reader.feed(part)
        try:
            found = drain(reader)
        except FramingError as error:
            assert str(error)
            with pytest.raises(FramingError):
                reader.next()
            return
        assert all(type(message) is dict for message in found)


@given(OBJECTS, st.data())
def test_a_changed_byte(message, data):
    """A message with one wrong byte is an object, incomplete, or an error."""
    octets = bytearray(json.dumps(message, ensure_ascii=False).encode())
    octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    reader = JsonStream()
    reader.feed(bytes(octets))
    try:
        found = drain(reader)
    except FramingError:
        return
    assert all(type(each) is dict for each in found)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"[1]", "not a JSON object"),
        (b"garbage", "not a JSON object"),
        (b'{"a":"\xff\xfe"}', "error parsing"),
        (b'{"a":"\xed\xa0\x80"}', "error parsing"),
        (b'{"a":1,}', "error parsing"),
        (b'{"a":NaN}', "error parsing"),
        (b'{"a":01}', "error parsing"),
        (b"{]", "error parsing"),
        (b'{"a":' + b"[" * 10000, "nesting depth"),
        (b'{"a":' * 10000, "nesting depth"),
    ],
)
def test_refused(data, words):
    reader = JsonStream()
    reader.feed(data)
    with pytest.raises(FramingError, match=words):
        drain(reader)


def test_depth_that_is_allowed():
    depth = framing.MAX_DEPTH - 1
    text = b'{"a":' + b"[" * depth + b"]" * depth + b"}"
    reader = JsonStream()
    reader.feed(text)
    assert len(drain(reader)) == 1


def test_large_message_is_scanned_once(monkeypatch):
    """10 MB in pieces of 4 KB: each byte is looked at a bounded number of times."""
    text = json.dumps({"a": ["x" * 1000, {"b": "}{"}] * 10000}).encode()
    seen = 0
    scan = framing.scan

    def counting(buffer, at, *where):
        nonlocal seen
        found = scan(buffer, at, *where)
        seen += found[0] - at
        return found

    monkeypatch.setattr(framing, "scan", counting)
    reader, found = JsonStream(), []
    for start in range(0, len(text), 4096):
        reader.feed(text[start : start + 4096])
        found += drain(reader)
    assert len(found) == 1 and len(text) > 10_000_000
    assert seen <= len(text)


def test_too_long(monkeypatch):
    monkeypatch.setattr(framing, "MAX_MESSAGE", 1000)
    reader = JsonStream()
    reader.feed(b'{"a":"' + b"x" * 1000)
    with pytest.raises(FramingError, match="exceeds the limit"):
        reader.next()
