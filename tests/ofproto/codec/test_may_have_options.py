"""Actions with tunnel options are known by their bytes: what is taken for plain has none."""

import pytest

from ofproto.codec.actions.placed import options_of
from ofproto.codec.errors import OFError
from ofproto.codec.instructions import decode_instructions, encode_instructions
from ofproto.codec.numbers import OF10, OF13, OF15
from ofproto.text.flow_text import parse_flow

OPTIONS = ("tun_metadata0", "tun_metadata20", "tun_metadata63")
WITH = (
    "set_field:5->{0}",
    "set_field:5/7->{0}",
    "load:5->{0}[0..3]",
    "move:{0}[0..31]->NXM_NX_REG0[]",
    "move:NXM_NX_REG0[]->{0}[0..31]",
    "push:{0}[0..31]",
    "pop:{0}[0..31]",
    "output:{0}[0..15]",
    "multipath(eth_src,50,modulo_n,4,0,{0}[0..7])",
    "learn(table=1,{0}[0..15]=NXM_NX_REG1[0..15],output:NXM_OF_IN_PORT[])",
    "learn(table=1,NXM_OF_VLAN_TCI[0..11],load:7->{0}[0..15])",
    "clone(move:{0}[0..31]->NXM_NX_REG0[])",
    "write_actions(set_field:5->{0})",
)
# Whose bytes have those of an option's header somewhere.
WITHOUT = (
    "output:336",
    "output:1,set_field:00:00:01:50:04:01->eth_dst",
    "load:0x1500401->NXM_NX_REG3[],resubmit(1,80)",
    "note:00.01.50.04",
)


@pytest.mark.parametrize("version", [OF10, OF13, OF15])
@pytest.mark.parametrize("text", WITH)
def test_options_are_seen(text, version):
    for option in OPTIONS:
        said = parse_flow(f"actions=output:1,{text.format(option)}").instructions
        try:
            data = encode_instructions(said, version)
        except OFError:
            assert version == OF10 and "write_actions" in text
            continue
        read = decode_instructions(data, version)
        assert {f"tun_metadata{field.option}" for field in options_of(read)} == {option}
        assert not read.plain


@pytest.mark.parametrize("text", WITHOUT)
def test_without_options_there_are_none(text):
    read = decode_instructions(
        encode_instructions(parse_flow(f"actions={text}").instructions, OF13), OF13
    )
    assert not list(options_of(read))


def test_long_plain_actions_are_known_as_such():
    text = ",".join(f"output:{number},load:{number}->NXM_NX_REG9[]" for number in range(300, 800))
    data = encode_instructions(parse_flow(f"actions={text}").instructions, OF13)
    assert decode_instructions(data, OF13).plain
