"""PACKET_INs by heads that are kept: the same bytes as by the codec alone."""

import random
from types import SimpleNamespace

import pytest

from datapath.key.flow import KEY_SIZE, MEMBERS
from ofproto import async_messages
from ofproto.codec import messages as m
from ofproto.peers import packet_in_heads
from ofproto.xlate.bridges.xbridge import PacketInEvent

FIELDS = ("packet_type", "pkt_mark", "ct_state", "ct_zone", "ct_mark", "tun_id", "metadata", "reg0",
          "reg15", "in_phy_port", "eth_type", "ct_nw_proto", "ct_tp_src", "dp_hash",
          "nw_src")  # fmt: skip
VALUES = {"ct_state": [0, 0, 0x22, 0x21], "eth_type": [0x0800, 0x86DD], "packet_type": [0],
          "ct_nw_proto": [0, 6]}  # fmt: skip


def event(rng):
    key = bytearray(KEY_SIZE)
    for name in rng.sample(FIELDS, rng.randrange(len(FIELDS))):
        start, size = MEMBERS[name]
        value = rng.choice(VALUES.get(name, [0, 1, 2, 7]))
        key[start : start + size] = value.to_bytes(size, "big")
    return PacketInEvent(
        rng.randbytes(rng.choice([14, 60, 1500, 70_000])), rng.randrange(6), rng.randrange(3),
        rng.choice([0, 5, (1 << 64) - 1]), 0,
        rng.choice([1, 2, 0xFFFE]), bytes(key), rng.choice([None, "flow", "implicit"]), b"", None,
    )  # fmt: skip


def peer(version):
    return SimpleNamespace(
        version=version, running=True, controller_id=0, packet_in_format="standard",
        wants=lambda kind, reason: True,
    )  # fmt: skip


@pytest.mark.parametrize("version", range(1, 7))
def test_the_same_as_the_codec(version):
    rng = random.Random(version)
    told = 0
    for _ in range(4000):
        each, to = event(rng), peer(version)
        raw = async_messages.packet_in_for(to, each)
        if raw is None:
            continue
        told += 1
        message = m.decode(raw)
        assert each.packet.startswith(message.packet)
        reason = async_messages.wire_reason(each, version)
        whole = async_messages._packet_in(to, each, reason, message.packet, message.total_len)
        assert raw == whole
    assert told > 2000
    assert len(async_messages._heads) <= packet_in_heads.MAX_HEADS


# Options are by a table, and what was tracked has no head.
NOT_CHANGED = ("packet_type", "tun_present", "tun_metadata", "ct_state")


@pytest.mark.parametrize("version", range(1, 7))
def test_one_byte_of_the_key_after_the_other(version):
    """The one that was asked for last is found only for what says the same."""
    to, zeros = peer(version), bytes(KEY_SIZE)
    for name, (start, size) in MEMBERS.items():
        for at in range(start, start + size * (name not in NOT_CHANGED)):
            for key in (zeros, zeros[:at] + b"\1" + zeros[at + 1 :]):
                each = PacketInEvent(bytes(60), 1, 0, 5, 0, 1, key, "flow", b"", None)
                raw = async_messages.packet_in_for(to, each)
                reason = async_messages.wire_reason(each, version)
                assert raw == async_messages._packet_in(to, each, reason, bytes(60), 60), (name, at)
