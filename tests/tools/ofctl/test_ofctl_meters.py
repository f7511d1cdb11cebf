"""Commands for meters: pyvs-ofctl and ovs-ofctl, on pyvs' switch and on Open vSwitch, do and say
the same."""

import re
from contextlib import closing

import pytest

from tests import daemons
from tests.tools.ofctl_peers import OpenVSwitch, needs_ovs, ours, steady, theirs

pytestmark = [needs_ovs, pytest.mark.system, pytest.mark.peer]


@pytest.fixture(scope="module")
def targets():
    """The br0 of pyvs' switch, and of Open vSwitch."""
    reason = daemons.missing()
    if reason:
        pytest.skip(reason)
    with closing(daemons.Switch()) as running, closing_stop(OpenVSwitch()) as peer:
        running.start(vswitchd=["--enable-dummy"])
        running.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "fail_mode=secure")
        for number in (1, 2):
            running.vsctl(
                *("add-port", "br0", f"p{number}", "--", "set", "interface", f"p{number}"),
                *("type=dummy", f"ofport_request={number}"),
            )
        yield f"unix:{running.directory}/br0.mgmt", peer.br0
        assert not running.trouble(), "\n".join(running.trouble())


class closing_stop(closing):
    """As closing, for what has stop()."""

    def __exit__(self, *_exc):
        self.thing.stop()


def said(program, target, command, *words):
    """(status, output, errors) without what may differ; meters stand in order of their text."""
    status, out, err = program("-OOpenFlow13", command, target, *words)
    # Open vSwitch has them in the order of its hash table.
    title, newline, rest = steady(out).partition("\n")
    out = title + newline + "\n\n".join(sorted(rest.strip("\n").split("\n\n")))
    err = re.sub(r"^00000000  .*", "", steady(err), flags=re.M)  # it has the transaction id
    out = out.replace("band_types: drop dscp_remark\n", "band_types: drop\n")
    err = re.sub(r"^\w+-ofctl: ", "", err)
    return status, out, re.sub(r"^\w+: (?=invalid numeric)", "", err)  # ours names the field


def clean(target):
    for command in ("del-flows", "del-meters"):
        assert theirs("-OOpenFlow13", command, target)[0] == 0


METERS = [
    "meter=1,kbps,band=type=drop,rate=1000",
    "meter=2,pktps,burst,stats,band=type=drop,rate=10,burst_size=20",
    "meter=0x10 kbps bands=type=drop rate=10 type=drop,rate=20",
    "meter=controller,pktps,stats,band=type=drop,rate=5",
    "meter=slowpath,kbps,band=type=drop,rate=4294967295",
]
SCRIPTS = {
    "add": [*(("add-meter", text) for text in METERS), ("add-meter", METERS[0]), ("dump-meters",)],
    "features": [("meter-features",), ("dump-meters",), ("meter-stats",)],
    "one": [
        *(("add-meter", text) for text in METERS),
        *((command, f"meter={which}")
          for command in ("dump-meter", "dump-meters", "meter-stats")
          for which in ("1", "2", "16", "controller", "slowpath", "all")),
        ("dump-meter", "meter=0"), ("meter-stats", "meter=x"), ("dump-meters", "what=1"),
    ],
    "modify": [
        ("mod-meter", METERS[0]), ("add-meter", METERS[0]),
        ("mod-meter", "meter=1,pktps,bands=type=drop,rate=7,type=drop,rate=8"), ("dump-meters",),
        ("meter-stats",),
    ],
    "delete": [
        *(("add-meter", text) for text in METERS), ("del-meter", "meter=1"), ("dump-meters",),
        ("del-meters", "meter=99"), ("del-meter", "meter=controller"), ("del-meter", "meter=0"),
        ("dump-meters",), ("del-meters",), ("dump-meters",),
    ],
    "flows": [
        ("add-meter", METERS[0]), ("add-meter", METERS[1]), ("add-meter", METERS[2]),
        ("add-flow", "in_port=1,actions=meter:1,2"),
        ("add-flow", "in_port=2,udp,actions=meter:2,set_field:1->ip_dscp,goto_table:3"),
        ("add-flow", "table=3,actions=meter:1,write_actions(output:1)"),
        ("add-flow", "in_port=3,actions=meter:7,2"), ("add-flow", "in_port=3,actions=meter:0,2"),
        ("add-flow", "in_port=3,actions=meter:x,2"), ("add-flow", "in_port=3,actions=2,meter:1"),
        ("meter-stats",), ("dump-flows",), ("mod-flows", "in_port=1,actions=meter:2,2"),
        ("meter-stats",), ("del-meter", "meter=1"), ("dump-flows",), ("meter-stats",),
        ("del-flows", "udp"), ("meter-stats",), ("del-meters",), ("dump-flows",),
    ],
}  # fmt: skip


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_same_by_both_on_both(targets, script):
    results = {}
    for program in (ours, theirs):
        for target in targets:
            clean(target)
            results[program.__name__, target] = [
                (words, *said(program, target, *words)) for words in SCRIPTS[script]
            ]
            clean(target)
    first, *others = results.values()
    for other in others:
        assert first == other


WRONG = [
    "", "kbps", "meter=1", "meter=1,kbps", "kbps,band=type=drop,rate=4", "meter=0,kbps,band=",
    "band=type=drop,rate=4", "meter=1,band=type=drop,rate=1", "meter=x,kbps,band=type=drop,rate=4",
    "meter=4294901761,kbps,band=type=drop,rate=1", "meter=1,kbps,bands=",
    "meter=1,kbps,foo,band=type=drop,rate=4", "meter=1,kbps,foo=1,band=type=drop,rate=4",
    "meter=1,kbps,band=type=foo,rate=4", "meter=1,kbps,band=rate=4", "meter=1,kbps,band=type=drop",
    "meter=1,kbps,band=type=drop,rate=0", "meter=1,kbps,band=type=drop,rate=x",
    "meter=1,kbps,burst,band=type=drop,rate=1,burst_size=y",
    "meter=1,kbps,band=type=drop,rate", "meter=1,kbps,band=type=drop,rate=4,foo=3",
    "meter=1,kbps,burst,band=type=drop,rate=5", "meter=1,kbps,band=type=drop,rate=5,burst_size=9",
    "meter=1,kbps,band=type=drop,rate=4,prec_level=3", "meter=1,kbps,rate=3,band=type=drop",
    "meter=1,kbps,band=type=dscp_remark,rate=4", "meter=1,kbps,band=type=dscp_remark,prec_level=4",
    "meter=1,kbps,band=type=drop,rate=1,type=drop,rate=0", "meter=1 kbps burst_size=4 band=type=x",
    # What only the switch refuses.
    "meter=all,kbps,band=type=drop,rate=4", "meter=1,stats,band=type=drop,rate=4",
    "meter=1,kbps,pktps,band=type=drop,rate=1",
    "meter=1,kbps,band=" + ",".join(f"type=drop,rate={rate}" for rate in range(1, 10)),
]  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_told_alike(targets, text):
    mine, peer = targets
    wanted = said(theirs, peer, "add-meter", text)
    assert wanted[0] == 1 and said(ours, mine, "add-meter", text) == wanted
    assert said(ours, mine, "mod-meter", text)[0] == 1


def test_a_wrong_number_is_named(targets):
    mine, _peer = targets
    for name, text in (
        ("rate", "meter=1,kbps,band=type=drop,rate=x"),
        ("burst_size", "meter=1,kbps,burst,band=type=drop,rate=1,burst_size=x"),
        ("meter", "meter=x,kbps,band=type=drop,rate=1"),
    ):
        status, _out, err = ours("add-meter", mine, text)
        assert (status, err) == (1, f"pyvs-ofctl: {name}: invalid numeric format x\n")


def test_versions(targets):
    """Without -O the version that has meters is taken; 1.0 alone is not enough."""
    mine, _peer = targets
    clean(mine)
    assert ours("add-meter", mine, METERS[0]) == (0, "", "")
    assert ours("add-flow", mine, "in_port=1,actions=meter:1,2") == (0, "", "")
    assert "meter=1 kbps bands=\ntype=drop rate=1000\n" in ours("dump-meters", mine)[1]
    assert "meter=1 kbps" in ours("dump-meter", mine, "1")[1]
    status, _out, err = ours("-OOpenFlow10", "add-meter", mine, METERS[0])
    assert status == 1 and "none of the usable flow formats (OXM-OpenFlow13," in err
    status, out, err = ours("meter-stats", mine, "meter=99")
    assert (status, err) == (0, "") and "OFPMMFC_UNKNOWN_METER" in out
    assert '"rate":1000' in ours("-f", "json", "dump-meters", mine)[1].replace(" ", "")
    clean(mine)
