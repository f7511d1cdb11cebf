"""Bundles: --bundle, and the command of that name."""

from ofproto.codec import messages as m
from ofproto.codec.match_text import TextError
from ofproto.codec.messages.base import MAX_SIZE
from ofproto.codec.messages.bundle import (
    BUNDLE_ATOMIC,
    BUNDLE_ORDERED,
    COMMIT_REQUEST,
    DISCARD_REQUEST,
    OPEN_REQUEST,
)
from ofproto.codec.numbers import OF13
from pyvs_tools.command import Fatal

from .errors import BundleError

FLAGS = BUNDLE_ATOMIC | BUNDLE_ORDERED
BUNDLE_ID = 0
# Versions with bundles; without -O 1.4 is spoken, or 1.3 where a switch has no more.
VERSIONS = frozenset((4, 5, 6))
DEFAULT_VERSIONS = frozenset((5,))


def transact(session, raws: list[bytes]) -> None:
    """Have all of these messages executed at once, or none.  Raises BundleError."""
    _control(session, OPEN_REQUEST, raws)
    session.queue_all(_additions(session.version, raws))
    errors = session.barrier()
    if errors:
        _control(session, DISCARD_REQUEST, raws)
        raise BundleError(session, errors, raws)
    _control(session, COMMIT_REQUEST, raws)


def _additions(version, raws):
    """BUNDLE_ADD_MESSAGEs, each with the xid of what is in it: the same but for that and the
    length."""
    some = m.BarrierRequest().encode(version)
    first = m.BundleAdd(BUNDLE_ID, FLAGS, some).encode(version)
    kind, middle = first[:2], first[8 : -len(some)]
    for raw in raws:
        size = 8 + len(middle) + len(raw)
        if size > MAX_SIZE:
            raise Fatal(f"a message of {len(raw)} bytes is too long for a bundle")
        yield b"".join((kind, size.to_bytes(2, "big"), raw[4:8], middle, raw))


def _control(session, kind, raws):
    """One BUNDLE_CONTROL and its reply."""
    xid = session.next_xid()
    request = m.BundleControl(BUNDLE_ID, kind, FLAGS).encode(session.version, xid)
    session.send_raw(request)
    errors = []
    while True:
        raw = session.receive()
        own = int.from_bytes(raw[4:8], "big") == xid
        if raw[1] == 1:
            errors.append(raw)
        if not own:
            continue
        if errors:
            raise BundleError(session, errors, [*raws, request])
        return


# bundle


def _read(session, path, names):
    """The messages of a file's lines, encoded."""
    from .flows import read_lines

    found = []
    for where, line in read_lines(path):
        word, _, rest = line.partition(" ")
        reader = _READERS.get(word)
        if reader is None:
            raise Fatal(f"{where}: Unsupported bundle message type: {word}")
        try:
            found.append(reader(rest.strip(), names, session))
        except (TextError, Fatal) as error:
            raise Fatal(f"{where}: {error}") from None
    return found


def _flow(text, names, session):
    from ofproto.text.flow_text import parse_flow, split_command

    command, text = split_command(text)
    return parse_flow(text, command, names)


def _group(text, names, _session):
    from ofproto.text.group_text import parse_group, split_command

    command, text = split_command(text)
    return parse_group(text, command, names)


def _packet_out(text, names, _session):
    from .packets import parse_packet_out

    return parse_packet_out(text, names)


_READERS = {"flow": _flow, "group": _group, "packet-out": _packet_out}


def bundle(settings, target, path):
    """bundle SWITCH FILE"""
    from ofproto.text.flow_text import encode_flow

    session = settings.connect(target, OF13)
    raws = []
    for message in _read(session, path, settings.numbers(session)):
        encode = encode_flow if isinstance(message, m.FlowMod) else _encode
        try:
            raws.append(encode(message, session.version, session.next_xid()))
        except (ValueError, m.OFError) as error:
            raise Fatal(f"{path}: {error}") from None
    transact(session, raws)


def _encode(message, version, xid):
    return message.encode(version, xid)
