"""Connection tracking beside the same flows without it, and beside Open vSwitch's.

Peers are measured in turns; "per core" is per second of processor time of the switch's processes,
which does not depend on what else the machine does.
"""

import shutil
import subprocess
import sys
import time
from pathlib import Path

from bench.harness.peers import OpenVSwitch, OpenVSwitchTso, Peer, Pyvs, cpu, sh
from bench.harness.shown import show
from bench.harness.traffic import MEASURES as FORWARDING
from bench.harness.traffic import mac, received

ROUNDS = 3
FLOWS = 1000
MANY = 1_000_000
RATE = 10_000  # packets per second of the established flow beside a flood
COMMON = "table=0,priority=1,arp,actions=NORMAL\n"
PLAIN = COMMON + "".join(
    f"table=0,ip,in_port={here},actions=resubmit(,1)\n"
    f"table=1,ip,in_port={here},actions=output:{there}\n"
    for here, there in ((1, 2), (2, 1))
)
TRACKED = COMMON + "".join(
    f"table=0,ip,in_port={here},actions=ct(table=1)\n"
    f"table=1,ip,in_port={here},ct_state=+est+trk,actions=output:{there}\n"
    f"table=1,ip,in_port={here},ct_state=+new+trk,actions=ct(commit),output:{there}\n"
    for here, there in ((1, 2), (2, 1))
)


def rules(peer: Peer, lines: str) -> None:
    path = Path("/run/rules")
    path.write_text(lines)
    peer.sh(f"{peer.ofctl} del-flows br0 && {peer.ofctl} add-flows br0 {path}")


def load(container: str, *words: object) -> str:
    arguments = " ".join(map(str, words))
    return sh(f"ip netns exec {container} {sys.executable} -m bench.harness.ct_load {arguments}")


def start(container: str, *words: object) -> subprocess.Popen:
    command = ["ip", "netns", "exec", container, sys.executable, "-m", "bench.harness.ct_load"]
    return subprocess.Popen([*command, *map(str, words)], stdout=subprocess.PIPE, text=True)


def towards(peer: Peer, source: str) -> tuple[str, str, str]:
    """Arguments of a sender in container `source`."""
    return "eth0", mac(source), mac(peer.b if source == peer.a else peer.a)


def memory(peer: Peer) -> int:
    """Resident bytes."""
    found = 0
    for path in peer.pid_files:
        lines = Path(f"/proc/{Path(path).read_text().strip()}/status").read_text().splitlines()
        found += sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    return found * 1024


# --- established traffic


def establish(peer: Peer) -> None:
    words = f"eth0 {mac(peer.a)} {mac(peer.b)} {FLOWS} 0.2"
    sh(f"ip netns exec {peer.a} {sys.executable} -m bench.harness.generator {words}")
    load(peer.b, "answer", *towards(peer, peer.b), FLOWS)


def established(peer: Peer) -> dict[str, float | None]:
    """UDP: million packets per second and core; TCP: Gbit/s, and Gbit per second of a core."""
    found = {}
    for kind, lines in (("plain", PLAIN), ("ct", TRACKED)):
        rules(peer, lines)
        establish(peer)
        for measure in (FORWARDING["packets"], FORWARDING["tcp"]):
            found |= {f"{name} {kind}": value for name, value in measure(peer).items()}
    for name in ("UDP core", "TCP", "TCP core"):
        plain, tracked = found[f"{name} plain"], found[f"{name} ct"]
        found[f"{name} ct/plain"] = tracked / plain if plain and tracked else None
    return found


# --- new connections


def new(peer: Peer) -> dict[str, float | None]:
    rules(peer, TRACKED)
    server = start(peer.b, "serve", 7000)
    try:
        assert server.stdout.readline() == "ready\n"
        load(peer.a, "connect", "10.0.0.2", 7000, 0.5)
        before = cpu(peer.pid_files)
        done = int(load(peer.a, "connect", "10.0.0.2", 7000, 4))
        found = {
            "connect-close /s": done / 4,
            "connect-close per core": done / (cpu(peer.pid_files) - before),
        }
        if shutil.which("ab"):
            before = cpu(peer.pid_files)
            # It reads the end of an empty answer as a failure; what counts is connections.
            sh(f"ip netns exec {peer.a} ab -q -r -s 5 -n 10000 -c 20 http://10.0.0.2:7000/ || true")
            found["ab, 10,000, per core"] = 10000 / (cpu(peer.pid_files) - before)
        return found
    finally:
        server.kill()
        server.wait()


# --- a million


def count(peer: Peer) -> int:
    return int(peer.sh(f"{peer.appctl} dpctl/ct-get-nconns"))


def million(peer: Peer) -> dict[str, float | None]:
    rules(peer, TRACKED)
    peer.sh(f"{peer.appctl} dpctl/flush-conntrack")
    idle = [float(word) for word in load(peer.a, "probe", "10.0.0.2", 5).split()]
    before = memory(peer)
    begin = time.monotonic()
    while (n := count(peer)) < MANY and time.monotonic() - begin < 50:
        load(peer.a, "many", *towards(peer, peer.a), MANY)
    found = {"connections": n, "bytes each": (memory(peer) - before) / n}
    expired = start(peer.a, "probe", "10.0.0.2", 75)
    worst = [float(word) for word in expired.communicate()[0].split()]
    found["left after 75 s"] = count(peer)
    found |= {"RTT idle, longest": idle[0], "RTT idle, p99": idle[1]}
    return found | {"RTT expiring, longest": worst[0], "RTT expiring, p99": worst[1]}


# --- a flood


def flooded(peer: Peer) -> dict[str, float | None]:
    """What comes through of an established flow while the other side floods."""
    rules(peer, TRACKED)
    establish(peer)
    found = {}
    for kind in ("alone", "flooded"):
        flood = start(peer.b, "flood", *towards(peer, peer.b), 7) if kind == "flooded" else None
        if flood:
            time.sleep(2)
        before = received(peer.b)
        sent = int(load(peer.a, "steady", *towards(peer, peer.a), RATE, 3))
        time.sleep(0.2)
        found[f"delivered, {kind}"] = (received(peer.b) - before) / sent
        if flood:
            found["SYNs /s"] = int(flood.communicate()[0]) / 7
    peer.sh(f"{peer.appctl} dpctl/flush-conntrack")
    return found


MEASURES = {"established": established, "new": new, "million": million, "flooded": flooded}
ONCE = {"million"}


def main(words: list[str]) -> None:
    """`words`: names of measures and peers, none means all but ovs-tso; `offloads`: containers keep
    theirs where the switch passes them."""
    chosen = [name for name in MEASURES if name in words] or list(MEASURES)
    kinds = {"pyvs": Pyvs, "ovs": OpenVSwitch, "ovs-tso": OpenVSwitchTso}
    names = [name for name in kinds if name in words] or ["pyvs", "ovs"]
    peers = [kinds[name](name[0] + name[-1]) for name in names]
    peers = [peer for peer in peers if peer.available()]
    for peer in peers:
        peer.start()
        # Open vSwitch finds sums wrong that are left to the hardware; without `offloads` none are.
        if "offloads" not in words or not peer.passes_offloads:
            for container in (peer.a, peer.b):
                sh(f"ip netns exec {container} ethtool -K eth0 tx off")
    for name in chosen:
        rows = {peer.name: [] for peer in peers}
        for _ in range(1 if name in ONCE else ROUNDS):
            for peer in peers:
                rows[peer.name].append(MEASURES[name](peer))
        show(name, rows)
