"""Rules whose datapath actions fit no flow: each packet is translated, and all are done to it,
beside Open vSwitch 3.1."""

import re

import pytest

from tests.daemons import wait_until
from tests.ofproto.ovs_peer import peer_marks
from tests.ovs_names import frames_of, side_by_side

pytestmark = [pytest.mark.system, *peer_marks]

LIST = ",".join(["output:2"] * 2500)
RULES = {
    "fits": ("actions=" + ",".join(["output:2"] * 200), 200),
    "lists": (f"table=0 actions={','.join(['resubmit(,1)'] * 4)}\ntable=1 actions={LIST}", 10000),
    "ttl": (
        "table=0 ip actions=resubmit(,1),resubmit(,1),dec_ttl,resubmit(,1),resubmit(,1)\n"
        f"table=1 actions={LIST}",
        10000,
    ),
    # What is over 64 kB at a resubmit ends there: what there is is done.
    "tree": (
        "\n".join(f"table={n} actions=resubmit(,{n + 1}),resubmit(,{n + 1})" for n in range(11))
        + "\ntable=11 actions="
        + ",".join(["output:2"] * 8),
        8192,
    ),
}
HEADERS = 38  # bytes before the length of UDP: what follows is each side's own
FRAME = 60  # bytes of what is sent
RECORD = 16 + FRAME  # bytes in a file of pcap(5)
PACKET = (
    "in_port(1),eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02),eth_type(0x0800),"
    "ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,tos=0,ttl=9,frag=no),udp(src=1,dst=2) --len 60"
)


def measure(switch, rules):
    """Frames that a packet becomes, the next one, and a controller's; the flow's actions."""
    pcap = switch.rundir / "p2.pcap"
    switch.run("ovs-ofctl", "del-flows", "br0")
    (switch.rundir / "rules").write_text(rules)
    switch.run("ovs-ofctl", "add-flows", "br0", str(switch.rundir / "rules"))
    switch.run("ovs-appctl", "revalidator/purge")
    told = []

    def send(*words):
        before, last = pcap.stat().st_size, [-1]
        switch.run(*words)

        def settled():
            last.append(pcap.stat().st_size)
            return last[-1] == last[-2] > before

        wait_until(settled, 40, what="frames")
        told.append((last[-1] - before) // RECORD)

    for _ in range(2):
        send("ovs-appctl", "netdev-dummy/receive", "p1", *PACKET.split())
    flows = switch.run("ovs-appctl", "dpctl/dump-flows")
    told.append(set(re.findall(r"in_port\(1\).*actions:(userspace\S+|[\d,]+|drop)", flows)))
    frame = frames_of(pcap)[-1]
    told.append(frame[: 2 * HEADERS])
    send("ovs-ofctl", "packet-out", "br0", f"in_port=1 packet={frame} actions=resubmit(,0)")
    traced = switch.run("ovs-appctl", "ofproto/trace", "br0", "in_port=1,ip,nw_ttl=9")
    told.append(re.findall(r"  - Uses.*|Translation failed.*|64 kB of actions", traced))
    return told


def test_all_of_many_actions_are_done(tmp_path):
    with side_by_side(tmp_path, "--enable-dummy", "--disable-system") as both:
        for switch in both:
            switch.run(
                *("ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0"),
                *("datapath_type=dummy", "fail_mode=secure"),
            )
            for number in (1, 2):
                switch.run(
                    *("ovs-vsctl", "add-port", "br0", f"p{number}", "--", "set", "interface"),
                    *(f"p{number}", "type=dummy", f"ofport_request={number}"),
                    f"options:tx_pcap={switch.rundir}/p{number}.pcap",
                )
        for name, (rules, frames) in RULES.items():
            ours, theirs = (measure(switch, rules) for switch in both)
            assert ours == theirs, name
            assert ours[0] == frames, name
        counted = both[0].run("ovs-appctl", "coverage/read-counter", "xlate_actions_oversize")
        assert int(counted) >= 3 * (len(RULES) - 1)
