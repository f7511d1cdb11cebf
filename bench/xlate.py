"""Lookups, flow-mods and translations per second of the classifier and of translation.

python bench/xlate.py [SECONDS]
"""

import random
import sys
import time
from types import SimpleNamespace

from datapath import flow
from ofproto.classifier import Classifier, Rule
from ofproto.compile import compile_actions
from ofproto.fields import BY_NAME
from ofproto.flows import Flows
from ofproto.match import Match
from ofproto.xbridge import XBridge, XBundle, XPort
from ofproto.xlate import translate

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


def world():
    bridge = XBridge("br0")
    flows = Flows()
    for number in range(1, 5):
        port, bundle = XPort(f"p{number}", number, number), XBundle(f"p{number}")
        bridge.port_add(port)
        bridge.bundle_set(bundle, [port])
        flows.port_set(number, port)
    return bridge, flows


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 0.5
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
    bridge.table(0).insert(
        Rule(Match(), 0, program=compile_actions([action("Output", port=NORMAL)]))
    )
    bridge.mac.add(0, bytes.fromhex("00000000000b"), bridge.bundles[1], 0)
    print(f"translate NORMAL        {rate(lambda: translate(bridge, key), seconds):12,.0f} /s")

    bridge, flows = world()
    for number in range(5):
        late = [action("Resubmit", port=None, table=number + 1)]
        if number == 2:
            late.insert(0, action("SetField", field=BY_NAME["ip_dst"], value=1, mask=None))
        bridge.table(number).insert(Rule(Match(), 1, program=compile_actions(late)))
    bridge.table(5).insert(Rule(Match(), 1, program=compile_actions([action("Output", port=2)])))
    print(f"translate 6 tables      {rate(lambda: translate(bridge, key), seconds):12,.0f} /s")

    keys = iter(range(1 << 40))

    def new_flow():
        changed = bytearray(key)
        changed[64:72] = next(keys).to_bytes(8, "big")
        flows.miss(bytes(changed[: flow.KEY_DP_SIZE]), 60, 1)

    bridge, flows = world()
    bridge.table(0).insert(
        Rule(Match(), 0, program=compile_actions([action("Output", port=NORMAL)]))
    )
    print(f"misses with a new flow  {rate(new_flow, seconds):12,.0f} /s")


if __name__ == "__main__":
    main()
