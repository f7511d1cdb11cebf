"""What a mirror, a meter and sampling 1 in 1,000 cost: rounds with each and without it, in turns.

    python -m bench watching [pyvs] [pyvs-kernel] [ovs] [FEATURE ...]

"switch" is processor time of the switch's processes, "machine" that of all processors less what the
idle machine takes: what the kernel cache forwards is done in whoever sends, and seen only there.
`copies` sends each packet to a second port by flows, as a mirror does: what copies cost.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from bench.harness.peers import ALL, Peer, cpu, sh
from bench.harness.shown import show
from bench.harness.traffic import open_port, received
from bench.performance import KINDS, SECONDS, Cost, measure_packets, measure_tcp
from demo.lab import quiet, wait_for

ROUNDS = 3
PEERS = ("pyvs", "pyvs-kernel", "ovs")
ONE_IN = 1000
COLLECTOR = 6343
METER = "meter=1,pktps,bands=type=drop,rate=10000000"  # that nothing reaches
WITHOUT = "without"


class Feature(NamedTuple):
    flow: str  # actions of the one flow
    on: Callable[[Peer], str] = lambda peer: ""  # arguments of vsctl
    off: str = ""


def _mirror(peer: Peer) -> str:
    return (
        f"-- --id=@p get port {spy(peer)} -- --id=@m create mirror name=m select_all=true"
        " output_port=@p -- set bridge br0 mirrors=@m"
    )


FEATURES = {
    WITHOUT: Feature("NORMAL"),
    "copies": Feature("NORMAL,output:3"),
    "mirror": Feature("NORMAL", _mirror, "clear bridge br0 mirrors"),
    "meter": Feature("meter:1,NORMAL"),
    "sFlow": Feature(
        "NORMAL",
        lambda peer: (
            f'-- --id=@s create sflow targets=\\"127.0.0.1:{COLLECTOR}\\" agent=lo'
            f" sampling={ONE_IN} polling=0 header=128 -- set bridge br0 sflow=@s"
        ),
        "clear bridge br0 sflow",
    ),
    "IPFIX": Feature(
        "NORMAL",
        lambda peer: (
            f'-- --id=@i create ipfix targets=\\"127.0.0.1:{COLLECTOR}\\" sampling={ONE_IN}'
            " -- set bridge br0 ipfix=@i"
        ),
        "clear bridge br0 ipfix",
    ),
}


def spy(peer: Peer) -> str:
    """The port that gets copies."""
    return f"{peer.host}spy"


def prepare(peer: Peer) -> None:
    """A third port, of a container where nothing answers; offloads as the switch passes them."""
    container = spy(peer) + "c"
    sh(f"ip netns add {container}")
    sh(f"ip -n {peer.host} link add {spy(peer)} type veth peer name eth0 netns {container}")
    sh(f"ip -n {peer.host} link set {spy(peer)} up && ip -n {container} link set eth0 up")
    peer.sh(f"{peer.vsctl} add-port br0 {spy(peer)} -- set interface {spy(peer)} ofport_request=3")
    if not peer.passes_offloads:
        for each in (peer.a, peer.b):
            sh(f"ip netns exec {each} ethtool -K eth0 tx off")
    peer.sh(f"{peer.ofctl} -O OpenFlow13 add-meter br0 {METER}")


@contextlib.contextmanager
def asked_for(peer: Peer, feature: Feature) -> Iterator[None]:
    if feature.off:
        peer.sh(f"{peer.vsctl} {feature.on(peer)}")
    # Second: Open vSwitch does not look at known flows again when a mirror comes.
    peer.sh(f"{peer.ofctl} -O OpenFlow13 add-flow br0 actions={feature.flow}")
    try:
        wait_for("a ping", lambda: quiet(f"ip netns exec {peer.a} ping -c 3 -i 0.2 10.0.0.2"))
        yield
    finally:
        if feature.off:
            peer.sh(f"{peer.vsctl} {feature.off}")


def taken(peer: Peer, measure: Callable, cost: Cost) -> tuple[dict, float]:
    """What `measure` gives, and the processor time of the switch's processes meanwhile."""
    before = cpu(peer.pid_files)
    return measure(peer, cost), cpu(peer.pid_files) - before


def sample(peer: Peer, cost: Cost) -> dict[str, float | None]:
    copies, arrived = received(spy(peer) + "c"), received(peer.b)
    udp, udp_cpu = taken(peer, measure_packets, cost)
    copies, arrived = received(spy(peer) + "c") - copies, received(peer.b) - arrived
    stream, tcp_cpu = taken(peer, measure_tcp, cost)
    rate, gigabits = udp["udp_rate"] or None, stream.get("tcp_rate")
    return {
        "UDP Mpps": rate,
        "UDP copies of a packet": copies / arrived if arrived else None,
        "UDP switch us/packet": rate and udp_cpu / (rate * SECONDS),
        "UDP machine us/packet": rate and sum(udp[f"udp_{kind}"] for kind in KINDS),
        "TCP Gbit/s": gigabits,
        "TCP switch s/GB": gigabits and tcp_cpu / (gigabits * SECONDS / 8),
        "TCP machine s/GB": gigabits and sum(stream[f"tcp_{kind}"] for kind in KINDS),
    }


def main(words: list[str]) -> None:
    """`words`: names of peers and features; none means all."""
    names = [name for name in PEERS if name in words] or PEERS
    peers = [ALL[name](name[0] + name[-1]) for name in names]
    peers = [peer for peer in peers if peer.available()]
    features = [name for name in FEATURES if name in words] or [*FEATURES][1:]
    for peer in peers:
        peer.start()
        prepare(peer)
    cost = Cost()
    for name in features:
        rows = {peer.name: {WITHOUT: [], name: []} for peer in peers}
        for _ in range(ROUNDS):
            for peer in peers:
                for each, found in rows[peer.name].items():
                    with asked_for(peer, FEATURES[each]), open_port(peer.host, COLLECTOR):
                        found.append(sample(peer, cost))
        for peer in peers:
            show(f"{peer.name}: {name}", rows[peer.name], (WITHOUT,))
