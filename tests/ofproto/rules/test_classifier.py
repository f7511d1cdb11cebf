"""The classifier against a naive linear scan, and its masks against the megaflow invariant."""

import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datapath.key.flow import MEMBERS
from ofproto.rules.classifier import TRIE_NAMES, Classifier, Rule
from ofproto.rules.scan import Loose, Overlap, by_cookie
from ofproto.tables.flow_table import drain

SIZE = 680
# Bytes in each of the lookup stages: metadata, L2, L3, L4, tunnel, pipeline.
BYTES = (4, 7, 65, 77, 84, 105, 110, 153, 157, 260, 600)
MASKS = (0x00, 0x01, 0x02, 0x03)


def sparse(values):
    """KEY_SIZE bytes that hold `values` at BYTES."""
    data = bytearray(SIZE)
    for at, value in zip(BYTES, values, strict=True):
        data[at] = value
    return bytes(data)


def masked(key, mask):
    return bytes(a & b for a, b in zip(key, mask, strict=True))


byte_values = st.lists(st.integers(0, 3), min_size=len(BYTES), max_size=len(BYTES)).map(sparse)
# Few different masks, so that subtables have several rules.
mask_pool = [
    sparse([random.Random(seed * 100 + i).choice(MASKS) if seed else 0 for i in range(len(BYTES))])
    for seed in range(8)
]
masks = st.sampled_from(mask_pool)
rules = st.tuples(byte_values, masks, st.integers(0, 5))
steps = st.lists(st.tuples(st.sampled_from(["insert", "remove", "lookup"]), rules), max_size=60)


class Naive:
    """A dict from (key, mask, priority) to rule, searched from end to end."""

    def __init__(self):
        self.rules = {}

    def insert(self, rule):
        name = (rule.key, rule.mask, rule.priority)
        old = self.rules.get(name)
        self.rules[name] = rule
        return old

    def best_priority(self, key):
        hits = [p for (k, m, p) in self.rules if masked(key, m) == k]
        return max(hits, default=None)


@settings(max_examples=300, deadline=None)
@given(steps)
def test_against_naive(history):
    classifier, naive = Classifier(), Naive()
    for step, (key, mask, priority) in history:
        if step == "insert":
            rule = Rule((key, mask), priority)
            assert classifier.insert(rule) is naive.insert(rule)
        elif step == "remove":
            rule = naive.rules.pop((masked(key, mask), mask, priority), None)
            assert classifier.find_exactly((key, mask), priority) is rule
            if rule is not None:
                assert classifier.remove(rule)
                assert not classifier.remove(rule)
        else:
            found = classifier.lookup(key)
            assert (found.priority if found else None) == naive.best_priority(key)
            assert found is None or masked(key, found.mask) == found.key
    assert len(classifier) == len(naive.rules)
    assert set(classifier) == set(naive.rules.values())


@settings(max_examples=300, deadline=None)
@given(st.lists(rules, max_size=20), byte_values, st.data())
def test_wildcarded_bits_do_not_matter(table, key, data):
    classifier = Classifier()
    for rule_key, mask, priority in table:
        # Distinct priorities: among equal ones that overlap, which rule wins is undefined.
        classifier.insert(Rule((rule_key, mask), priority * 100 + len(classifier)))
    wc = bytearray(SIZE)
    found = classifier.lookup(key, wc)
    for _ in range(20):
        other = data.draw(byte_values)
        flipped = bytes((k & m) | (o & ~m & 0xFF) for k, o, m in zip(key, other, wc, strict=True))
        assert classifier.lookup(flipped) is found


@settings(max_examples=200, deadline=None)
@given(st.lists(rules, max_size=20), rules, st.integers(1, 7))
def test_loose_and_overlaps(table, probe, size):
    classifier = Classifier()
    for rule_key, mask, priority in table:
        classifier.insert(Rule((rule_key, mask), priority))
    key, mask, priority = probe
    key = masked(key, mask)
    loose = {r for r in classifier if masked(r.mask, mask) == mask and masked(r.key, mask) == key}
    asked = Loose((key, mask))
    found = asked.of(classifier)
    assert set(found) == loose and len(found) == len(loose) <= asked.n_candidates(classifier)
    pieces = [asked.among(some) for some in drain(classifier.rules(), size)]
    assert [r for some in pieces for r in some] == [r for r in classifier if r in loose]
    sharing = [
        r
        for r in classifier
        if r.priority == priority
        and not any((a ^ b) & c & d for a, b, c, d in zip(r.key, key, r.mask, mask, strict=True))
    ]
    overlap = Overlap((key, mask), priority)
    for found in (overlap.of(classifier), overlap.among(classifier)):
        assert (found in sharing) if sharing else found is None
    assert len(sharing) <= overlap.n_candidates(classifier) <= len(classifier)


def test_all_taken_at_once():
    """What holds the rules is the caller's; the table is as good as new."""
    classifier, mask = Classifier(), b"\xff" * SIZE
    classifier.n_lookup = 7
    before = [Rule((bytes([n]) * SIZE, mask), n, cookie=n // 2) for n in range(9)]
    for rule in before:
        classifier.insert(rule)
    assert by_cookie(before) == {(0, n): set(before[2 * n : 2 * n + 2]) for n in range(5)}
    assert [rule for some in classifier.take_all().values() for rule in some] == before
    assert not classifier.rules() and not classifier.n_subtables and not len(classifier)
    assert classifier.lookup(before[0].key) is None and not classifier.remove(before[0])
    again = Rule((bytes([3]) * SIZE, mask), 3)
    assert classifier.insert(again) is None and classifier.lookup(again.key) is again
    assert classifier.n_lookup == 7


def test_many_keys_of_one_mask():
    """Buckets are added, and stages' slots change places, while keys come and go."""
    mask = sparse([0xFF] * len(BYTES))
    classifier, draw, there = Classifier(), random.Random(1), {}

    def key():
        return sparse([draw.randrange(2 if at in (153, 157) else 7) for at in BYTES])

    for grow in (40_000, -39_900, 60_000):
        for _ in range(abs(grow)):
            if grow > 0 or draw.random() < 0.1:
                rule = Rule((key(), mask), 1)
                assert classifier.insert(rule) is there.get(rule.key)
                there[rule.key] = rule
            elif there:
                classifier.remove(there.pop(next(iter(there))))
        for probe in [*there, *(key() for _ in range(1000))]:
            assert classifier.lookup(probe) is there.get(probe)
    pieces = list(classifier.pieces())
    assert [rule for some in pieces for rule in some] == classifier.rules() == list(classifier)
    assert set(classifier) == set(there.values()) and len(classifier) == len(there)
    assert len(pieces) > 2 and max(map(len, pieces)) <= 1 << 14  # none of which takes long


def test_stages_keep_later_bits_out_of_the_mask():
    classifier = Classifier()
    mask = bytearray(SIZE)
    mask[65] = mask[105] = mask[153] = 0xFF
    key = bytearray(SIZE)
    key[65], key[105], key[153] = 1, 2, 3
    classifier.insert(Rule((bytes(key), bytes(mask)), 7))
    wc = bytearray(SIZE)
    assert classifier.lookup(bytes(SIZE), wc) is None
    assert wc[65] == 0xFF and not wc[105] and not wc[153]
    wc = bytearray(SIZE)
    key[105] = 9
    assert classifier.lookup(bytes(key), wc) is None
    assert wc[65] == wc[105] == 0xFF and not wc[153]


def test_early_stop_leaves_lower_subtables_out():
    classifier = Classifier()
    low = bytearray(SIZE)
    low[153] = 0xFF
    high = bytearray(SIZE)
    high[65] = 0xFF
    classifier.insert(Rule((bytes(SIZE), bytes(low)), 1))
    winner = Rule((bytes(SIZE), bytes(high)), 2)
    classifier.insert(winner)
    wc = bytearray(SIZE)
    assert classifier.lookup(bytes(SIZE), wc) is winner
    offset, size = MEMBERS["packet_type"]  # that of a match on headers, Ethernet
    high[offset : offset + size] = b"\xff" * size
    assert bytes(wc) == bytes(high)


def test_a_rule_is_in_one_classifier():
    rule = Rule((bytes(SIZE), bytes(SIZE)), 1)
    Classifier().insert(rule)
    with pytest.raises(ValueError, match="already"):
        Classifier().insert(rule)


def test_bad_lengths():
    with pytest.raises(ValueError, match=str(SIZE)):
        Rule((b"", b""), 1)
    with pytest.raises(ValueError, match=str(SIZE)):
        Classifier().lookup(b"x")


PREFIXED = [
    MEMBERS[name][0] for name in ("nw_dst", "ipv6_src", "tun_id", "tun_src", "tun_ipv6_dst")
]
NW_DST = PREFIXED[0]
addresses = st.lists(st.sampled_from([0, 1, 0x80, 0xFF]), min_size=4, max_size=4).map(bytes)
prefixes = st.tuples(st.sampled_from(PREFIXED), addresses, st.integers(0, 32))
packets = st.lists(addresses, min_size=len(PREFIXED), max_size=len(PREFIXED))


def prefix_rule(at, address, length, priority):
    mask = bytearray(SIZE)
    mask[at : at + 4] = ((0xFFFFFFFF << (32 - length)) & 0xFFFFFFFF).to_bytes(4, "big")
    key = bytearray(SIZE)
    key[at : at + 4] = address
    return Rule((bytes(key), bytes(mask)), priority)


def packet_to(*values):
    """With these first four bytes of the PREFIXED members."""
    key = bytearray(SIZE)
    for at, value in zip(PREFIXED, values, strict=False):
        key[at : at + 4] = value
    return bytes(key)


@settings(max_examples=300, deadline=None)
@given(st.lists(prefixes, max_size=12), st.lists(st.integers(0, 11), max_size=6), st.data())
def test_prefixes(table, removed, data):
    """Routes come and go; the longest or highest one wins, and the mask tells all that counted."""
    classifier = Classifier()
    classifier.track_prefixes(data.draw(st.sets(st.sampled_from(TRIE_NAMES))))
    rules = [prefix_rule(*row, priority) for priority, row in enumerate(table)]
    for rule in rules:
        classifier.insert(rule)
    for i in removed:
        if i < len(rules):
            classifier.remove(rules[i])
    for _ in range(5):
        key = packet_to(*data.draw(packets))
        wc = bytearray(SIZE)
        found = classifier.lookup(key, wc)
        hits = [rule.priority for rule in classifier if masked(key, rule.mask) == rule.key]
        assert (found.priority if found else None) == max(hits, default=None)
        other = packet_to(*data.draw(packets))
        flipped = bytes((k & m) | (o & ~m & 0xFF) for k, o, m in zip(key, other, wc, strict=True))
        assert classifier.lookup(flipped) is found


def test_prefixes_that_are_not_tracked():
    classifier = Classifier()
    classifier.insert(prefix_rule(NW_DST, bytes([10, 1, 2, 3]), 32, 9))
    classifier.track_prefixes(("ip_src", "ipv6_dst"))
    wc = bytearray(SIZE)
    assert classifier.lookup(packet_to(bytes([11, 1, 2, 3])), wc) is None
    assert wc[NW_DST : NW_DST + 4] == b"\xff\xff\xff\xff"


def test_prefixes_of_tunnels_are_tracked_on_demand():
    classifier = Classifier()
    tun_id = MEMBERS["tun_id"][0]
    classifier.insert(prefix_rule(tun_id, bytes([10, 1, 2, 3]), 32, 9))
    key = bytearray(SIZE)
    key[tun_id] = 0x80
    for fields, mask in (("ip_dst",), b"\xff\xff\xff\xff"), (("tun_id",), b"\x80\0\0\0"):
        classifier.track_prefixes(fields)
        wc = bytearray(SIZE)
        assert classifier.lookup(bytes(key), wc) is None
        assert wc[tun_id : tun_id + 8] == mask + bytes(4)


def test_a_host_route_does_not_make_masks_narrow():
    classifier = Classifier()
    classifier.insert(prefix_rule(NW_DST, bytes([10, 1, 2, 3]), 32, 9))
    default = prefix_rule(NW_DST, bytes(4), 0, 1)
    classifier.insert(default)
    wc = bytearray(SIZE)
    assert classifier.lookup(packet_to(bytes([11, 1, 2, 3])), wc) is default
    assert wc[NW_DST : NW_DST + 4] == b"\xff\0\0\0", "bit 8 tells 10 from 11"
    wc = bytearray(SIZE)
    assert classifier.lookup(packet_to(bytes([192, 1, 2, 3])), wc) is default
    assert wc[NW_DST : NW_DST + 4] == b"\x80\0\0\0"


def test_a_long_chain_of_replaced_rules_is_freed():
    """As long as a controller likes, while one datapath flow of the first is not settled."""
    code = """if True:
        from ofproto.codec.match import Match
        from ofproto.rules.classifier import Rule
        first = last = Rule(Match(), 1)
        for _ in range(300_000):
            following = Rule(Match(), 1)
            following.inherit(last)
            last = following
        del following, last, first
        print("freed")"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "freed\n"), done
