"""The megaflow table and the exact-match cache against a linear scan."""

import itertools
import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from datapath.key import flow
from tests.datapath.sample_frames import frames
from tests.native.classifier import Classifier

SIZE = flow.KEY_DP_SIZE
# Few words, values and masks, so that things meet; one key has more words than the cache takes.
WORDS = (0, 64, 104, 144, 184, 256, 504, 576)
MASKS = (0x0F, 0xF0, 0xFF, 0x00)


def key_of(values):
    key = bytearray(SIZE)
    for at, value in zip(WORDS, values, strict=True):
        key[at] = value
    return bytes(key)


KEYS = st.tuples(*[st.sampled_from((0, 1, 0x10, 0x11))] * len(WORDS)).map(key_of)
MASK_KEYS = st.tuples(*[st.sampled_from(MASKS)] * len(WORDS)).map(key_of)


def masked(key, mask):
    return bytes(k & m for k, m in zip(key, mask, strict=True))


class Naive:
    """flows: ufid -> (masked key, mask, actions)."""

    def __init__(self):
        self.flows = {}

    def matches(self, key):
        return {u for u, (want, mask, _) in self.flows.items() if masked(key, mask) == want}


class Twins(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.real = Classifier()
        self.naive = Naive()

    @rule(key=KEYS, mask=MASK_KEYS, actions=st.binary(max_size=20))
    def insert(self, key, mask, actions):
        ufid = self.real.insert(key, mask, actions)
        assert ufid == flow.ufid(key, mask)
        self.naive.flows[ufid] = (masked(key, mask), mask, actions)

    @rule(inverse=st.sampled_from((0, 1, 2, 1 << 32 - 1)), signatures=st.booleans())
    def tune(self, inverse, signatures):
        self.real.tune(inverse, signatures)

    @precondition(lambda self: self.naive.flows)
    @rule(data=st.data())
    def remove(self, data):
        ufid = data.draw(st.sampled_from(sorted(self.naive.flows)))
        self.real.remove(ufid)
        del self.naive.flows[ufid]

    @rule(key=KEYS, cached=st.booleans())
    def lookup(self, key, cached):
        want = self.naive.matches(key)
        for _ in range(2):  # the second time from the cache
            got = self.real.lookup(key, cached)
            assert got in want if want else got is None

    @precondition(lambda self: self.naive.flows)
    @rule(data=st.data())
    def lookup_of_a_flow(self, data):
        key = data.draw(st.sampled_from(sorted(self.naive.flows.values())))[0]
        assert self.real.lookup(key) in self.naive.matches(key)

    @precondition(lambda self: len(self.naive.flows) > 3)
    @rule()
    def flush(self):
        self.real.flush()
        self.naive.flows.clear()

    @invariant()
    def same_flows(self):
        got = {u: rest for u, *rest in map(tuple, self.real.flows())}
        assert got == {u: list(rest) for u, rest in self.naive.flows.items()}
        stats = self.real.stats()
        assert stats["flows"] == len(got)
        assert stats["subtables"] == len({mask for _, mask, _ in self.naive.flows.values()})


TestTwins = Twins.TestCase
TestTwins.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_many_flows_in_many_subtables():
    """Growth, collisions and backward-shift removal, beyond what the machine above reaches."""
    generator = random.Random(7)
    real, naive = Classifier(), Naive()
    masks = [bytes(64 + i) + b"\xff\xff\xff" + bytes(SIZE - 67 - i) for i in range(24)]
    for _ in range(4000):
        if generator.random() < 0.7 or not naive.flows:
            key = bytes(64) + generator.randbytes(32) + bytes(SIZE - 96)
            mask = generator.choice(masks)
            naive.flows[real.insert(key, mask)] = (masked(key, mask), mask, b"")
        else:
            ufid = generator.choice(list(naive.flows))
            real.remove(ufid)
            del naive.flows[ufid]
    for _ in range(100):
        key = bytes(64) + generator.randbytes(32) + bytes(SIZE - 96)
        got = real.lookup(key)
        want = naive.matches(key)
        assert got in want if want else got is None
    for ufid, (key, _, _) in naive.flows.items():
        for cached in (False, True, True):
            assert real.lookup(key, cached) is not None
        assert ufid in {u for u, *_ in real.flows()} if len(naive.flows) < 10 else True


def test_a_table_that_grows_takes_over_its_flows_little_by_little():
    """Flows are found, removed and given other actions while some are still in the former slots."""
    generator = random.Random(11)
    real, there, keys = Classifier(), {}, []
    mask = bytes(64) + b"\xff" * 8 + bytes(SIZE - 72)
    for i in range(1, 3000):
        keys.append(bytes(64) + i.to_bytes(8, "big") + bytes(SIZE - 72))
        there[keys[-1]] = real.insert(keys[-1], mask)
        key = generator.choice(keys[-40:])
        if i % 3 and key in there:
            real.remove(there.pop(key))
        elif key in there:
            assert real.insert(key, mask, b"others") == there[key]
        for key in generator.choices(keys, k=5):
            assert real.lookup(key, cached=False) == there.get(key)
    assert all(real.lookup(key, cached=False) == ufid for key, ufid in there.items())
    assert {ufid for ufid, *_ in real.flows()} == set(there.values())
    for ufid in there.values():
        real.remove(ufid)
    assert real.stats()["flows"] == real.stats()["subtables"] == 0


def test_cache_holds_more_keys_than_it_has_room_for():
    real = Classifier()
    mask = bytes(64) + b"\xff" * 8 + bytes(SIZE - 72)
    keys = [bytes(64) + i.to_bytes(8, "big") + bytes(SIZE - 72) for i in range(1, 20001)]
    ufids = [real.insert(key, mask) for key in keys]
    for _ in range(2):
        assert [real.lookup(key) for key in keys] == ufids
    for ufid in ufids[::2]:
        real.remove(ufid)
    assert [real.lookup(key) for key in keys] == [
        None if i % 2 == 0 else ufid for i, ufid in enumerate(ufids)
    ]


def test_a_slot_used_again_does_not_revive_the_cache():
    real = Classifier()
    mask = b"\xff" * 8 + bytes(SIZE - 8)
    first, second = b"\1" * 8 + bytes(SIZE - 8), b"\2" * 8 + bytes(SIZE - 8)
    ufid = real.insert(first, mask)
    assert real.lookup(first) == real.lookup(first) == ufid
    real.remove(ufid)
    real.insert(second, mask)
    assert real.lookup(first) is None


def test_replacing_and_conflicts():
    real = Classifier()
    key = flow.extract(frames()["udp4"], 1)
    mask = flow.wildcards_for(key)
    ufid = real.insert(key, mask, b"old!")
    assert real.insert(key, mask, b"new actions") == ufid
    assert [one[3] for one in real.flows()] == [b"new actions"]
    with pytest.raises(FileExistsError):
        real.insert(key, mask, ufid=bytes(16))
    with pytest.raises(FileExistsError):
        real.insert(flow.extract(frames()["tcp4"], 1), mask, ufid=ufid)
    with pytest.raises(KeyError):
        real.remove(bytes(16))
    assert real.stats()["flows"] == real.stats()["subtables"] == 1


def test_tunnel_options_behind_the_map_count():
    """Keys that differ only behind word 63 are told apart, though the cache cannot hold them."""
    real = Classifier()
    base = bytearray(SIZE)
    offset, _ = flow.MEMBERS["tun_dst"]
    base[offset] = 1
    one, two = bytearray(base), bytearray(base)
    one[SIZE - 1], two[SIZE - 1] = 1, 2
    mask = b"\xff" * SIZE
    ufids = [real.insert(bytes(key), mask) for key in (base, one, two)]
    for _ in range(2):
        assert [real.lookup(bytes(key)) for key in (base, one, two)] == ufids


def test_popular_subtables_are_searched_first():
    real = Classifier()
    for i in range(40):
        key = bytes(i * 2) + b"\1" + bytes(SIZE - 1 - i * 2)
        real.insert(key, key)
    last = bytes(78) + b"\1" + bytes(SIZE - 79)
    for _ in range(10000):
        real.lookup(last, cached=False)
    before = real.stats()["probed"]
    for _ in range(100):
        real.lookup(last, cached=False)
    assert real.stats()["probed"] - before == 100


def test_frames_in_bursts():
    found = [frame for frame in frames().values() if len(frame) >= 14] * 3
    real = Classifier()
    assert real.classify_frames(found, 1) == 0
    for frame in found:
        key = flow.extract(frame, 1)
        real.insert(key, flow.wildcards_for(key))
    for cached in (True, False):
        assert real.classify_frames(found, 3, cached) == 3 * len(found)


def test_frames_that_look_alike_but_for_what_is_zero():
    """The cache remembers which words are zero: it is to see where that does not hold."""
    kinds = itertools.product(*[(0, 1, 2)] * 4)
    found = [
        bytes(Ether(src=f"02:00:00:00:00:0{m}" if m else bytes(6).hex(":"), dst=bytes(6).hex(":")))
        + bytes(IP(src=f"0.0.0.{a}", dst=f"0.0.0.{b}", tos=0) / UDP(sport=p, dport=p, chksum=0))
        for m, a, b, p in kinds
    ]
    found = [frame[:12] + b"\x08\x00" + frame[14:] for frame in found]
    generator = random.Random(3)
    for first in found:  # whose shape is remembered
        real, known = Classifier(), [first, *found[::2]]
        for frame in known:
            real.insert(flow.extract(frame, 1), flow.wildcards_for(flow.extract(frame, 1)))
        burst = [first, *generator.choices(found, k=95)] * 2
        wanted = sum(frame in known for frame in burst)
        assert [real.classify_frames(burst, 1, cached) for cached in (True, False)] == [wanted] * 2
        assert real.stats()["emc_hits"] >= wanted / 2


def test_each_cache_serves_what_it_is_tuned_to():
    """emc-insert-inv-prob and smc-enable: who answers is counted."""
    found = frames_of(2000)
    made = Classifier()
    for number, each in enumerate(found):
        mask = bytearray(b"\xff" * SIZE)
        mask[WORDS[-1]] = 0xF0 | number % 8  # several subtables
        made.insert(flow.extract(each, in_port=1), bytes(mask))

    def counted(inverse, signatures):
        made.tune(inverse, signatures)
        assert made.classify_frames(found, 1) == len(found)
        before = made.stats()
        assert made.classify_frames(found, 1) == len(found)
        return {name: count - before[name] for name, count in made.stats().items()}

    none = counted(0, False)
    assert none["emc_hits"] == none["inserted"] == none["smc_hits"] == 0
    assert none["found"] == len(found)
    assert counted(0, True)["smc_hits"] > 0.99 * len(found)
    some = counted(10, False)
    assert 0.05 * len(found) < some["inserted"] < 0.2 * len(found) and not some["smc_hits"]
    assert counted(1, False)["emc_hits"] > 0.5 * len(found)


def frames_of(count):
    ends = bytes.fromhex("02000000000102000000"), b"\x88\xb5" + bytes(46)
    return [number.to_bytes(2, "big").join(ends) for number in range(count)]
