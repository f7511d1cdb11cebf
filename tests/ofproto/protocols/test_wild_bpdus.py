"""Whatever BPDUs say, a spanning tree can be told of, and rests until timers that are ahead."""

import random

import pytest
from test_stp import mac

from ofproto.protocols import bpdu, rstp, rstp_port, stp

PORTS, STEPS = 4, 250
OWN = bpdu.bridge_id(0x8000, mac(1))
BRIDGES = (0, 1, 5, OWN - 1, OWN, OWN + 1, (1 << 64) - 1)


class Stp:
    def __init__(self):
        self.tree = stp.Stp(stp.Settings(0x8000, mac(1)), 0)
        for number in range(1, PORTS + 1):
            self.tree.set_port(number, stp.PortSettings(number, 128, 65535, mac(number)), 0)
            self.link(number, True, 0)

    def link(self, number, up, now):
        (self.tree.enable_port if up else self.tree.disable_port)(number, now)


class Rstp:
    def __init__(self):
        self.tree = rstp.Rstp(rstp.Settings(0x8000, mac(1)), 0)
        for number in range(1, PORTS + 1):
            given = rstp_port.PortSettings(number, 128, 200_000_000, mac(number))
            self.tree.set_port(number, given, 0)
            self.link(number, True, 0)

    def link(self, number, up, now):
        self.tree.set_link(number, up, now)


def wild(rng):
    def number(bits):
        return rng.choice((0, 1, 255, 256, 5120, rng.getrandbits(bits))) % (1 << bits)

    kind = rng.choice((bpdu.CONFIG, bpdu.RST, bpdu.RST, bpdu.TCN))
    if kind == bpdu.TCN:
        return bpdu.Bpdu(kind)
    cost = rng.choice((0, 1, 0xFFFFFFFF, number(32)))
    who = rng.choice(BRIDGES), cost, rng.choice(BRIDGES), rng.choice((1, 0x8001, number(16)))
    return bpdu.Bpdu(kind, rng.getrandbits(8), *who, *(number(16) for _ in range(4)))


@pytest.mark.parametrize("kind", [Stp, Rstp])
@pytest.mark.parametrize("seed", range(8))
def test_wild_bpdus(kind, seed):
    rng, now, made = random.Random(seed), 0, kind()
    tree = made.tree
    for _ in range(STEPS):
        chance, port = rng.random(), rng.randint(1, PORTS)
        if chance < 0.6:
            tree.receive(port, bpdu.encode(wild(rng), mac(9)), now)
        elif chance < 0.7:
            made.link(port, rng.random() < 0.7, now)
        else:
            due = tree.next_wakeup()
            now = max(now, due) if due is not None and chance < 0.9 else now + 3000
        tree.run(now)
        assert tree.next_wakeup() is None or tree.next_wakeup() > now
        for _key, frame in tree.take_frames():
            bpdu.decode(frame)
        tree.take_flushes()
