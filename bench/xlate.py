"""Lookups, flow-mods, translations, upcalls and revalidations per second, each without its peer.

python -m bench xlate [SECONDS [FLOWS]]
"""

import gc
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

from datapath.ipc import protocol
from datapath.ipc.dpif import Dpif
from datapath.key import flow
from ofproto.codec.fields import BY_NAME
from ofproto.codec.match import Match
from ofproto.flows.flows import Flows
from ofproto.flows.revalidator import Revalidator
from ofproto.flows.upcall import UpcallHandler
from ofproto.rules.classifier import Classifier, Rule
from ofproto.rules.compile import compile_actions
from ofproto.xlate.bridges.xbridge import XBridge, XBundle, XPort
from ofproto.xlate.translate import translate

NORMAL = 0xFFFA
FRAME = bytes.fromhex(
    "00000000000b00000000000a0800450000280001000040060000"
    "0a0000010a00000203e8005000000000000000005002200000000000"
)


def rate(function, seconds):
    """Calls per second."""
    done, start = 0, time.perf_counter()
    while True:
        for _ in range(1000):
            function()
        done += 1000
        passed = time.perf_counter() - start
        if passed >= seconds:
            return done / passed


def action(name, **attributes):
    made = type(name, (SimpleNamespace,), {"format": lambda self: name})()
    made.__dict__.update(attributes)
    return made


def random_match(rng):
    match = Match()
    match.set("eth_type", 0x0800)
    match.set("ip_dst", rng.randrange(1 << 32), 0xFFFFFFFF << rng.choice([0, 8, 16]) & 0xFFFFFFFF)
    if rng.random() < 0.5:
        match.set("in_port", rng.randrange(1, 5))
    if rng.random() < 0.3:
        match.set("nw_proto", 6)
        match.set("tcp_dst", rng.randrange(1 << 16))
    return match


def world(flows=None, add=None):
    """A bridge of four ports; `add` makes a datapath port of a name."""
    flows = Flows() if flows is None else flows
    bridge = XBridge("br0", flows.generation)
    for number in range(1, 5):
        port, bundle = XPort(f"p{number}", number, number), XBundle(f"p{number}")
        bridge.port_add(port)
        bridge.bundle_set(bundle, [port])
        flows.port_set(add(port.name) if add else number, port)
    return bridge, flows


def normal(bridge):
    bridge.table(0).insert(
        Rule(Match(), 0, program=compile_actions([action("Output", port=NORMAL, max_len=0)]))
    )


def many_subtables(rng, n_rules=10000, n_subtables=50):
    """Rules under as many masks, most of which a packet misses."""
    bridge, _ = world()
    masks = [(32 - i % 10, 16 - i // 10) for i in range(n_subtables)]
    for number in range(n_rules):
        bits, port_bits = masks[number % n_subtables]
        match = Match()
        match.set("eth_type", 0x0800)
        match.set("nw_proto", 6)
        match.set("ip_dst", rng.randrange(1 << 32), (1 << 32) - (1 << (32 - bits)))
        match.set("tcp_dst", rng.randrange(1 << 16), (1 << 16) - (1 << (16 - port_bits)))
        program = compile_actions([action("Output", port=2, max_len=0)])
        bridge.table(0).insert(Rule(match, rng.randrange(1, 1000), program=program))
    normal(bridge)
    return bridge


class Datapath:
    """A datapath process with dummy ports, and a socket to inject frames without waiting."""

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory()
        path = Path(self.directory.name) / "datapath.sock"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "datapath.main"],
            env=os.environ | {"PYVS_RUNDIR": self.directory.name},
            stderr=subprocess.DEVNULL,
        )
        while True:
            try:
                self.dpif = Dpif(str(path))
                break
            except OSError:
                time.sleep(0.01)
        self.side = socket.socket(socket.AF_UNIX)
        self.side.connect(str(path))
        return self

    def inject(self, port, frames):
        requests = [
            protocol.encode({"op": "port_inject", "port_no": port}, frame, number + 1)
            for number, frame in enumerate(frames)
        ]
        self.side.sendall(b"".join(requests))
        answers = bytearray()
        for _ in requests:
            while protocol.decode(answers) is None:
                answers += self.side.recv(1 << 16)

    def __exit__(self, *_):
        self.side.close()
        self.dpif.close()
        self.process.terminate()
        self.process.wait()
        self.directory.cleanup()


def through_the_ring(n_flows=10000, burst=250):
    """Upcalls a second of the handler's own time, then revalidation of the flows made so."""
    with Datapath() as datapath:
        gc.freeze()  # as vswitchd does, which collects rarely
        gc.set_threshold(20000, 20, 50)
        flows = Flows()
        flows.flow_limit = flows.max_flows = 2 * n_flows
        handler = UpcallHandler(flows)
        bridge, _ = world(flows, lambda name: datapath.dpif.port_add(name, "dummy"))
        flows.add_bridge(bridge)
        datapath.dpif.upcall_register()
        flows.set_dpif(datapath.dpif)
        revalidator = Revalidator(flows)
        revalidator.ready = True
        revalidator.max_idle = 1 << 30  # none goes because others keep us from the processor
        normal(bridge)
        port = bridge.ports[1].odp_port
        busy = done = 0
        for start in range(0, n_flows, burst):
            numbers = range(start, min(start + burst, n_flows))
            datapath.inject(port, [b"\2\0" + n.to_bytes(4, "big") + FRAME[6:] for n in numbers])
            wanted = done + len(numbers)
            while done < wanted:
                begin = time.perf_counter()
                n = handler.run(int(time.monotonic() * 1000))
                busy += time.perf_counter() - begin if n else 0
                done += n
        print(f"upcalls                 {done / busy:12,.0f} /s   ({len(flows)} flows)")
        revalidate(revalidator, "statistics", lambda: None)
        revalidate(revalidator, "same result", bridge.touch)
        other = Match()
        other.set("in_port", 1)
        program = compile_actions([action("Output", port=3, max_len=0)])
        bridge.table(0).insert(Rule(other, 5, program=program))
        revalidate(revalidator, "other actions", bridge.touch)
        forget(flows)
        flows.set_dpif(datapath.dpif)
        revalidator.reset()
        revalidate(revalidator, "flows adopted", bridge.touch)
        other.set("eth_type", 0x0800)
        other.set("nw_proto", 6)
        bridge.table(0).insert(Rule(other, 6, program=program))
        revalidate(revalidator, "flows deleted", bridge.touch)


def forget(flows):
    """What is done when the datapath process goes, in turns of the loop."""
    n_flows, pieces = len(flows), []
    for step in (lambda: flows.set_dpif(None), flows.forget_lost):
        while True:
            begin = time.thread_time()
            more = step()
            pieces.append(time.thread_time() - begin)
            if not more:
                break
    print(
        f"the datapath lost       {n_flows / sum(pieces):12,.0f} /s of the processor"
        f"   ({n_flows} flows, longest turn {max(pieces) * 1e3:.1f} ms of it)"
    )


def revalidate(revalidator, what, change):
    """Of the time, what others do not take of the processor counts."""
    time.sleep(0.6)
    n_flows = len(revalidator.flows)
    change()
    pieces, begin = [], time.perf_counter()
    while True:
        cpu = time.thread_time()
        more = revalidator.run(int(time.monotonic() * 1000))
        pieces.append(time.thread_time() - cpu)
        if not more:
            break
    passed = time.perf_counter() - begin
    n_flows = n_flows or len(revalidator.flows)
    print(
        f"revalidate, {what:13} {n_flows / passed:11,.0f} /s"
        f"   {n_flows / sum(pieces):11,.0f} /s of the processor"
        f"   (longest run() {max(pieces) * 1e3:.1f} ms of it)"
    )


def main(words):
    """`words`: seconds for each rate, and how many flows are revalidated."""
    seconds = float(words[0]) if words else 0.5
    rng = random.Random(1)
    matches = [random_match(rng) for _ in range(20000)]
    table = Classifier()
    start = time.perf_counter()
    rules = [Rule(match, rng.randrange(1000)) for match in matches]
    for rule in rules:
        table.insert(rule)
    print(f"flow-mods (add)         {len(rules) / (time.perf_counter() - start):12,.0f} /s")
    key = flow.extract(FRAME, 1)
    wc = bytearray(flow.KEY_SIZE)
    print(
        f"lookups                 {rate(lambda: table.lookup(key, wc), seconds):12,.0f} /s"
        f"   ({len(table)} rules, {table.n_subtables} subtables)"
    )
    start = time.perf_counter()
    for rule in rules:
        table.remove(rule)
    print(f"flow-mods (delete)      {len(rules) / (time.perf_counter() - start):12,.0f} /s")

    bridge, flows = world()
    normal(bridge)
    bridge.mac.add(0, bytes.fromhex("00000000000b"), bridge.bundles[1], 0)
    print(f"translate NORMAL        {rate(lambda: translate(bridge, key), seconds):12,.0f} /s")

    bridge, flows = world()
    for number in range(5):
        late = [action("Resubmit", port=None, table=number + 1, ct=False)]
        if number == 2:
            late.insert(0, action("SetField", field=BY_NAME["ip_dst"], value=1, mask=None))
        bridge.table(number).insert(Rule(Match(), 1, program=compile_actions(late)))
    output = action("Output", port=2, max_len=0)
    bridge.table(5).insert(Rule(Match(), 1, program=compile_actions([output])))
    print(f"translate 6 tables      {rate(lambda: translate(bridge, key), seconds):12,.0f} /s")

    bridge = many_subtables(rng)
    n_subtables = bridge.table(0).n_subtables
    print(
        f"translate 10,000 rules  {rate(lambda: translate(bridge, key), seconds):12,.0f} /s"
        f"   ({n_subtables} subtables)"
    )

    keys = iter(range(1 << 40))

    def new_flow():
        changed = bytearray(key)
        changed[64:72] = next(keys).to_bytes(8, "big")
        handler.upcall(0, bytes(changed[: flow.KEY_DP_SIZE]), FRAME, 1)

    bridge, flows = world()
    flows.flow_limit = flows.max_flows = 1 << 31
    handler = UpcallHandler(flows)
    normal(bridge)
    print(f"misses with a new flow  {rate(new_flow, seconds):12,.0f} /s")

    through_the_ring(int(words[1]) if len(words) > 1 else 10_000)


if __name__ == "__main__":
    main(sys.argv[1:])
