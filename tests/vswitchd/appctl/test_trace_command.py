"""How the words of ofproto/trace are read; Open vSwitch 3.1 answers each of these so."""

import pytest

from pyvs.process.daemon import CommandError
from vswitchd.appctl import trace


def test_the_payload_is_checked_and_left_out():
    words = ["br0", "in_port=1", "-generate"]
    assert trace._without_payload(["--l7-len", "0", *words]) == words
    assert trace._without_payload([*words[:2], "--l7", "01aB", words[2]]) == words
    for wrong in (["--l7-len"], ["--l7-len", "-1"], ["--l7", "abc"], ["--l7-len", "123456"]):
        with pytest.raises(CommandError):
            trace._without_payload([*words, *wrong])


ODP = "in_port(1),eth(),eth_type(0x1234)"
FRAME = bytes(14)


def test_the_last_word_is_a_packet_if_it_reads_as_one():
    for words in (["br0", "in_port=1"], [ODP], ["ovs-dummy", ODP], ["br0", "5054"], []):
        assert trace._taken_apart(words, False) == (words, None)
        assert trace._taken_apart(words, True) == (words, None)
    for words in (["br0", "in_port=1"], [ODP], ["ovs-dummy", ODP]):
        assert trace._taken_apart([*words, FRAME.hex()], False) == (words, FRAME)


@pytest.mark.parametrize(
    ("more", "generate", "told"),
    [
        (["a", "b"], False, "too many arguments"),
        (["xyz"], False, "Trailing garbage in packet data"),
        (["5054"], False, "Packet data too short for Ethernet"),
        ([FRAME.hex()], True, "Syntax error"),
    ],
)
def test_a_third_word_can_only_be_a_packet(more, generate, told):
    for words in (["br0", "in_port=1"], ["ovs-dummy", ODP]):
        with pytest.raises(CommandError, match=told):
            trace._taken_apart([*words, *more], generate)


def test_which_flows_are_the_datapaths():
    for text in (ODP, "", f"ufid:12, {ODP}", "recirc_id(0x1),in_port(p1)"):
        assert trace._is_odp(text)
    for text in ("in_port=1,tcp", "packet_type=(1,0x800)", "ip", "xyz"):
        assert not trace._is_odp(text)


@pytest.mark.parametrize("before", ["", "ufid:12, ", "ufid:12 ", "ufid:12,  "])
def test_a_flow_as_it_was_dumped(before):
    assert trace._of_dump(f"{before}{ODP}, packets:0, bytes:0, used:never, actions:2") == ODP
