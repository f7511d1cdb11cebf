"""Flows in colors: as ovs-ofctl --color=always shows them (its output, with marks for colors)."""

import re

import pytest

from pyvs_tools.command import Fatal
from pyvs_tools.ofctl.colors import Colors, wanted

SGR = re.compile(r"\x1b\[([\d;]*)m\x1b\[K(.*?)\x1b\[m\x1b\[K")
NAMES = {"1;31": "A", "34": "D", "31": "L", "36": "P", "35": "R", "33": "S", "32": "V"}
SHOWN = [
    "<P:cookie=>0x5, <P:duration=>1.5s, <S:table=>3, <P:n_packets=>0, <P:n_bytes=>0,"
    " <P:idle_age=>0, <S:priority=>7,<V:tcp>,<P:tp_dst=>80 <A:actions=><D:drop>",
    "<S:priority=>0 <A:actions=>NORMAL",
    "<V:ip> <A:actions=><P:mod_nw_src:>1.1.1.1,<S:load:>0x2<S:->>NXM_NX_IP_ECN[],<R:dec_ttl>,"
    "<R:dec_ttl><R:(>1,2<R:)>",
    "<V:ip> <A:actions=><R:clone(><S:output:>1,<S:load:>0x1<S:->>NXM_NX_REG1[]<R:)>,"
    "<P:check_pkt_larger(>100)->NXM_NX_REG0[0],<S:exit>",
    "<V:ip> <A:actions=><L:learn(><S:table=>5,<V:send_flow_rem>,<P:NXM_NX_REG1[0..5]=>0x5,"
    "<S:output:>NXM_OF_IN_PORT[]<L:)>,<S:output:>2",
    "<P:tun_flags=>+oam,<P:vlan_tci=>0x0000 <A:actions=>CONTROLLER:60,<S:output>(port=1,max_len=6),"
    "<R:controller(><P:reason=>invalid_ttl,<V:pause><R:)>,<P:enqueue:>1:2,<V:pop_queue>,IN_PORT",
    "<P:packet_type=>(1,0x894f),<P:dl_dst=>02:00:00:00:00:01 <A:actions=><R:set_mpls_label(>5<R:)>",
]


def plain(marked):
    return re.sub("<.:(->|[^>]*)>", r"\1", marked)


@pytest.mark.parametrize("marked", SHOWN)
def test_as_ovs_ofctl(marked):
    shown = Colors().flow(plain(marked))
    assert SGR.sub(lambda found: f"<{NAMES[found[1]]}:{found[2]}>", shown) == marked


def test_the_environment_has_other_colors(monkeypatch):
    monkeypatch.setenv("OVS_COLORS", "dr=01;44:vl=x:nothing:ac=")
    shown = Colors().flow("ip actions=drop")
    assert SGR.findall(shown) == [("32", "ip"), ("", "actions="), ("01;44", "drop")]


def test_what_is_not_closed_ends():
    for text in ("output(port=1", "check_pkt_larger(1", "learn((", ")", "a=(b", "actions=->"):
        assert SGR.sub(r"\2", Colors().flow(text)) == text


def test_when():
    assert wanted("always") and not wanted("never") and not wanted(None) and not wanted("")
    with pytest.raises(Fatal, match="incorrect value `some' for --color"):
        wanted("some")
