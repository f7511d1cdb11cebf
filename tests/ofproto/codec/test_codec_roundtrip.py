"""Each message to bytes and back, in each version and form that has it."""

import subprocess
import sys

import pytest

from ofproto.codec import messages as m
from ofproto.codec.errors import OFError
from ofproto.codec.match_text import parse_match
from ofproto.codec.messages import base as msg_base
from ofproto.codec.messages import homes
from pyvs.record import replace
from tests.ofproto.codec_samples import CASES, LATER, OUTPUT, SAMPLES, TCP, case_id


@pytest.mark.parametrize(("message", "version", "keywords"), CASES, ids=case_id)
def test_round_trip(message, version, keywords):
    raw = message.encode(version, 0x1234, **keywords)
    assert len(raw) == int.from_bytes(raw[2:4], "big")
    decoded = m.decode(raw)
    assert decoded == message
    if not isinstance(message, m.Hello):
        assert decoded.version == version
    assert decoded.xid == 0x1234
    assert decoded.encode(version, 0x1234, **keywords) == raw


@pytest.mark.parametrize(("message", "versions", "_keywords"), LATER, ids=case_id)
def test_round_trip_of_later_versions(message, versions, _keywords):
    for version in versions:
        decoded = m.decode(message.encode(version, 5))
        assert decoded == message
        assert (decoded.version, decoded.xid) == (version, 5)


def each_version():
    """(message, version, bytes) of the samples in each version that can say them."""
    for message, _versions, keywords in SAMPLES:
        for version in range(1, 7):
            try:
                raw = message.encode(version, 0x1234, **(keywords if version == 1 else {}))
            except (ValueError, OFError):
                continue
            yield message, version, raw


def test_samples_have_each_row():
    """Each form that a row stands for is encoded by a sample, and its bytes are what its object
    is encoded to."""
    seen = {}
    for message, version, raw in each_version():
        found, _at = msg_base.find(raw)
        seen[found.cls.__name__, found.version, found.place, found.number] = message
        if found.cls not in (m.Hello, m.QueueGetConfigRequest):
            decoded = m.decode(raw)
            again = decoded.encode(version, 0x1234, **({"nxm": True} if is_nxm(found) else {}))
            assert again == raw, (message, version)
    m.load_all()
    missing = {
        (form.cls.__name__, form.version)
        for form in msg_base.FORMS.values()
        if (form.cls.__name__, form.version, form.place, form.number) not in seen
    }
    # HELLO has the highest version in its header; the rest are Nicira's twins of what is there.
    twins = {"RoleRequest", "RoleReply", "SetAsync", "FlowMod", "FlowRemoved", "Hello"}
    assert {name for name, _version in missing} <= twins


def is_nxm(form):
    return form.cls is m.FlowMod and form.place == msg_base.NX


def test_table_in_the_command():
    mod = m.FlowMod(m.DELETE, parse_match(TCP), table_id=5, instructions=[])
    for nxm in (False, True):
        raw = mod.encode(1, nxm=nxm, table_id_in_command=True)
        assert m.decode(raw, flow_mod_table_id=True) == mod
        with pytest.raises(OFError, match="OFPFMFC_BAD_COMMAND"):
            m.decode(raw)
        all_tables = replace(mod, table_id=None)
        raw = all_tables.encode(1, nxm=nxm, table_id_in_command=True)
        assert m.decode(raw, flow_mod_table_id=True) == all_tables
        assert m.decode(all_tables.encode(1, nxm=nxm)) == all_tables


def test_long_replies_are_cut_below_64_kb():
    flows = [
        m.FlowStats(parse_match(TCP), priority=i, instructions=OUTPUT, cookie=i)
        for i in range(2000)
    ]
    for version, form in ((1, {}), (1, {"nxm": True}), (4, {})):
        parts = list(m.multipart(m.FlowStatsReply, iter(flows), version, 9, **form))
        assert len(parts) > 2
        assert all(len(part) <= 0xFFFF for part in parts)
        replies = [m.decode(part) for part in parts]
        assert [reply.more for reply in replies] == [True] * (len(parts) - 1) + [False]
        assert [flow for reply in replies for flow in reply.flows] == flows
        assert {reply.xid for reply in replies} == {9}


def test_a_list_reply_of_nothing_is_one_message():
    (raw,) = m.multipart(m.PortStatsReply, [], 4, 1)
    assert m.decode(raw) == m.PortStatsReply([])


def test_multipart_is_lazy():
    def flows():
        for i in range(1 << 40):
            yield m.FlowStats(parse_match(""), priority=i & 0xFFFF)

    assert m.decode(next(m.multipart(m.FlowStatsReply, flows(), 4, 1))).more


@pytest.mark.parametrize("version", [1, 4])
def test_error_replies(version):
    request = m.FlowStatsRequest().encode(version, 77)
    reply = m.decode(m.error(OFError("OFPBRC_EPERM"), request, version))
    assert (reply, reply.xid) == (m.Error("OFPBRC_EPERM", request), 77)
    huge = m.PacketOut(bytes(65000)).encode(version, 5)
    assert len(m.error(OFError("OFPBRC_EPERM"), huge, version)) <= 0xFFFF
    text = m.error(OFError("OFPHFC_INCOMPATIBLE", data=b"text"), request, version)
    assert m.decode(text).data == b"text"


def test_what_a_version_cannot_say():
    for message in (m.MeterMod(0), m.TableMod(1), m.GetAsyncRequest()):
        with pytest.raises(ValueError, match="version 1"):
            message.encode(1)
    for message in (
        m.FlowMod(m.DELETE, cookie=1, cookie_mask=1),
        m.FlowStatsRequest(cookie=1, cookie_mask=1),
        m.RoleRequest("nochange"),
        m.PacketOut(bytes(1 << 16)),
        m.TableStatsReply([m.TableStats(1 << 8)]),
    ):
        with pytest.raises(ValueError):
            message.encode(1)


def vendor(version, vendor_, subtype, data=b""):
    body = vendor_.to_bytes(4, "big") + subtype.to_bytes(4, "big") + data
    return m.HEADER.pack(version, 4, 8 + len(body), 3) + body


@pytest.mark.parametrize("version", [1, 4])
def test_unknown_vendor_messages(version):
    for number, name in ((0x2320, "BAD_SUBTYPE"), (0x123456, "BAD_VENDOR")):
        raw = vendor(version, number, 999, b"data")
        with pytest.raises(OFError, match=name):
            m.decode(raw)
        assert m.decode_any(raw) == m.Experimenter(number, 999, b"data")
        assert m.decode_any(raw).encode(version, 3) == raw


BAD = [
    (b"\4\5\0\4", "OFPBRC_BAD_LEN"),
    (b"\4\5\0\x09\0\0\0\0", "OFPBRC_BAD_LEN"),
    (b"\x09\5\0\x08\0\0\0\0", "OFPBRC_BAD_VERSION"),
    (b"\4\x63\0\x08\0\0\0\0", "OFPBRC_BAD_TYPE"),
    (b"\4\5\0\x0c\0\0\0\0\0\0\0\0", "OFPBRC_BAD_LEN"),
    (b"\1\x10\0\x0c\0\0\0\0\0\x63\0\0", "OFPBRC_BAD_STAT"),
    (b"\4\x12\0\x10\0\0\0\0\0\x63\0\0\0\0\0\0", "OFPBRC_BAD_STAT"),
    (b"\4\x04\0\x0a\0\0\0\0\0\0", "OFPBRC_BAD_LEN"),
    # SET_ASYNC: an unknown property, an experimenter's, one of a wrong size, an unknown bit
    (b"\5\x1c\0\x10\0\0\0\0\0\x0c\0\x08\0\0\0\1", "OFPACFC_UNSUPPORTED"),
    (b"\5\x1c\0\x18\0\0\0\0\xff\xff\0\x10\0\0\x23\x20" + bytes(8), "OFPBPC_BAD_EXP_TYPE"),
    (b"\5\x1c\0\x18\0\0\0\0\0\0\0\x0c" + bytes(12), "OFPBPC_BAD_LEN"),
    (b"\5\x1c\0\x10\0\0\0\0\0\2\0\x08\0\0\0\x40", "OFPACFC_INVALID"),
    # TABLE_FEATURES of zeros, and cut off
    (b"\4\x12\0\x50\0\0\0\0\0\x0c" + bytes(70), "OFPBPC_BAD_LEN"),
    (b"\4\x12\0\x18\0\0\0\0\0\x0c" + bytes(14), "OFPBPC_BAD_LEN"),
]


@pytest.mark.parametrize(("raw", "name"), BAD)
def test_errors_of_the_envelope(raw, name):
    with pytest.raises(OFError) as e:
        m.decode(raw)
    assert e.value.name == name


def test_hello_of_a_version_yet_unknown():
    assert m.decode(b"\x09\0\0\x08\0\0\0\0").version == 9


def test_homes_are_those_of_the_rows():
    """A message is found though its module is not loaded yet: what homes says is what is there."""
    m.load_all()
    there = {
        (form.cls.__module__.rpartition(".")[2], place, number)
        for (_version, place, number), form in msg_base.FORMS.items()
    }
    told = {
        (module, place, number)
        for module, (_names, places) in homes.HOMES.items()
        for place, numbers in places.items()
        for number in numbers
    }
    assert told == {row for row in there if row[0] != "core"}
    for name, module in homes.modules_by_name().items():
        assert getattr(m, name) is getattr(homes.load(module), name)
    with pytest.raises(AttributeError):
        m.NoSuchMessage  # noqa: B018


def test_a_message_loads_its_module_alone():
    """In a process of its own, for here all are loaded."""
    code = """
import sys
from ofproto.codec import messages as m
before = [name for name in sys.modules if name.endswith((".flow", ".meter", ".group"))]
found = m.decode(bytes.fromhex("041d0010000000010002000100000007"))
after = [name for name in sys.modules if name.endswith((".flow", ".meter", ".group"))]
print(before, type(found).__name__, found.meter_id, after)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[] MeterMod 7 ['ofproto.codec.messages.meter']\n"
