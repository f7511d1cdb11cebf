"""Which bucket of a group a packet goes to, beside naive twins: slots by weight, liveness, and
what a hash leads to."""

from collections import Counter
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.all import IP, TCP, Ether

from datapath.actions.text import odp_text
from datapath.key import flow
from ofproto.codec.messages import GROUP_FAST_FAILOVER, GROUP_SELECT, Bucket
from ofproto.xlate.bridges.xgroup import MAX_SLOTS, spread
from ofproto.xlate.state.recirc import RecircTable
from ofproto.xlate.translate import translate
from tests.ofproto.xlate_world import ODP_BASE, World, act, key_of, output

WEIGHTS = st.lists(st.integers(0, 20) | st.integers(0, 0xFFFF), max_size=8)
OFPP_NONE = 0xFFFF
PACKET = Ether() / IP(src="10.0.0.1", dst="10.0.0.2") / TCP()


def naive_spread(weights):
    """16 slots, or as few more as give the lightest one; none where 256 are not enough."""
    heavy = [weight for weight in weights if weight]
    needed = max([Fraction(sum(heavy), weight) for weight in heavy], default=0)
    enough = [n for n in (16, 32, 64, 128, 256) if needed and n >= needed]
    return share_out(weights, enough[0]) if enough else []


def share_out(weights, n):
    """Each slot to the one who is owed most, by the quotients of Sainte-Laguë."""
    given_away = Counter()
    slots = []
    for _ in range(n):
        owed = [Fraction(weight, 2 * given_away[i] + 1) for i, weight in enumerate(weights)]
        best = owed.index(max(owed))
        given_away[best] += 1
        slots.append(best)
    return slots


@settings(max_examples=150, deadline=None)
@given(WEIGHTS)
def test_slots_beside_the_definition(weights):
    assert list(spread(weights)) == naive_spread(weights)


def test_a_slot_cannot_name_a_bucket_behind_the_256th():
    assert set(spread([0] * 255 + [1])) == {255}
    assert spread([0] * 256 + [1]) == spread([1] * 255 + [0, 1]) == b""
    assert spread([1] + [0] * 4000) == bytes(16)


@settings(max_examples=200, deadline=None)
@given(WEIGHTS)
def test_shares_of_slots_are_shares_of_weight(weights):
    slots = spread(weights)
    assert len(slots) <= MAX_SLOTS
    counts = Counter(slots)
    for i, weight in enumerate(weights if slots else []):
        due = Fraction(len(slots) * weight, sum(weights))
        assert abs(counts[i] - due) <= 1 + due / 8 or len(slots) <= 16
        assert bool(counts[i]) == bool(weight)


# --- liveness

N_GROUPS = 5
WATCHED_PORTS = st.sampled_from([OFPP_NONE, OFPP_NONE, 1, 2, 3, 9])
WATCHED_GROUPS = st.none() | st.integers(1, N_GROUPS + 1)
GROUPS = st.lists(
    st.lists(st.tuples(WATCHED_PORTS, WATCHED_GROUPS), max_size=3),
    min_size=N_GROUPS,
    max_size=N_GROUPS,
)


def naive_live(groups, up):
    """The least fixed point: groups by number -> whether a bucket of it is live."""
    live = dict.fromkeys(range(1, N_GROUPS + 2), False)
    while True:
        after = {
            number: any(naive_bucket(bucket, live, up) for bucket in groups.get(number, ()))
            for number in live
        }
        if after == live:
            return live
        live = after


def naive_bucket(bucket, live, up):
    port, group = bucket
    if port == OFPP_NONE and group is None:
        return True
    return port in up or (group is not None and live[group])


@settings(max_examples=200, deadline=None)
@given(GROUPS, st.sets(st.integers(1, 3)))
def test_liveness_beside_a_fixed_point(wanted, up):
    """Circles of groups that watch each other are among them."""
    world = World(6)
    for number, port in world.ports.items():
        port.up = number in up or number > 3
    groups = dict(enumerate(wanted, 1))
    for number, buckets in groups.items():
        made = [
            Bucket(0, port, group, [output(4 + at)]) for at, (port, group) in enumerate(buckets)
        ]
        world.group(number, GROUP_FAST_FAILOVER, made)
    live = naive_live(groups, up)
    for number, buckets in groups.items():
        alive = [at for at, bucket in enumerate(buckets) if naive_bucket(bucket, live, up)]
        world.rule([act("Group", group=number)])
        actions = odp_text.format_actions(translate(world.bridge, key_of(PACKET, 1)).actions)
        assert actions == (str(ODP_BASE + 4 + alive[0]) if alive else "drop")


# --- select


def with_hash(key, recirc_id, dp_hash):
    made = bytearray(key)
    for name, value in (("recirc_id", recirc_id), ("dp_hash", dp_hash)):
        offset, size = flow.MEMBERS[name]
        made[offset : offset + size] = value.to_bytes(size, "big")
    return bytes(made)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 9), min_size=2, max_size=4).filter(lambda w: sum(map(bool, w)) > 1),
    st.sets(st.integers(1, 4)),
    st.integers(1, 0xFFFFFFFF),
)
def test_a_hash_leads_to_the_next_live_slot(weights, up, dp_hash):
    world = World(9)
    buckets = [Bucket(w, n, None, [output(4 + n)]) for n, w in enumerate(weights, 1)]
    world.group(1, GROUP_SELECT, buckets)
    for number in range(1, 5):
        world.ports[number].up = number in up
    world.rule([act("Group", group=1)])
    recirc = RecircTable()
    translate(world.bridge, key_of(PACKET, 9), recirc=recirc)
    (recirc_id,) = recirc.states
    key = with_hash(key_of(PACKET, 9), recirc_id, dp_hash)
    result = translate(world.bridge, key, recirc=recirc)
    slots = naive_spread(weights)
    turned = slots[dp_hash % len(slots) :] + slots[: dp_hash % len(slots)]
    chosen = next((at + 1 for at in turned if at + 1 in up), None)
    assert odp_text.format_actions(result.actions) == (
        str(ODP_BASE + 4 + chosen) if chosen else "drop"
    )
    offset, size = flow.MEMBERS["dp_hash"]
    assert int.from_bytes(result.mask[offset : offset + size], "big") == len(slots) - 1


def hashed_here(weights, up, n):
    """Counts of outputs for n connections of a group that needs no hash of the datapath's."""
    world = World(9)
    world.group(
        1, GROUP_SELECT, [Bucket(w, i, None, [output(4 + i)]) for i, w in enumerate(weights, 1)]
    )
    for number in range(1, 5):
        world.ports[number].up = number in up
    world.rule([act("Group", group=1)])
    found = Counter()
    for sport in range(n):
        packet = Ether() / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=sport)
        back = Ether() / IP(src="10.0.0.2", dst="10.0.0.1") / TCP(dport=sport, sport=80)
        actions = odp_text.format_actions(translate(world.bridge, key_of(packet, 8)).actions)
        assert odp_text.format_actions(translate(world.bridge, key_of(back, 8)).actions) == actions
        found[int(actions) - ODP_BASE - 4] += 1
    return found


def test_uneven_weights_are_kept():
    found = hashed_here([1000, 1, 500], {1, 2, 3}, 300)
    assert 160 < found[1] < 240 and 60 < found[3] < 140 and found[2] < 10
    found = hashed_here([1000, 1, 500], {2, 3}, 100)
    assert not found[1] and found[3] > 90


def ways(ids, up=frozenset(range(1, 9)), weights=(1000, 700, 1, 500)):
    """By source port, where connections go of a group that is hashed here: each bucket to its own
    port, with a weight by its number."""
    world = World(20)
    buckets = [
        Bucket(weights[n % len(weights)], n, None, [output(8 + n)], bucket_id=n) for n in ids
    ]
    assert world.group(1, GROUP_SELECT, buckets).slots == b""
    for number in range(1, 9):
        world.ports[number].up = number in up
    world.rule([act("Group", group=1)])
    return [
        int(odp_text.format_actions(translate(world.bridge, key_of(packet, 20)).actions))
        for packet in (
            Ether() / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=n) for n in range(200)
        )
    ]


def test_a_bucket_that_comes_or_goes_moves_its_own_packets_only():
    """Wherever in the group it is inserted, and whether it is removed or its port is down."""
    own, before = ODP_BASE + 8 + 5, ways([1, 2, 3, 4])
    assert len(set(before)) > 2
    for place in range(5):
        ids = [1, 2, 3, 4]
        ids.insert(place, 5)
        after = ways(ids)
        assert own in after
        assert all(new in (old, own) for old, new in zip(before, after, strict=True))
        assert ways(ids, up={1, 2, 3, 4}) == before


def test_one_bucket_is_hashed_as_in_open_vswitch():
    world = World(3)
    world.group(1, GROUP_SELECT, [Bucket(0, actions=[output(2)]), Bucket(7, actions=[output(3)])])
    world.rule([act("Group", group=1)])
    recirc = RecircTable()
    actions = translate(world.bridge, key_of(PACKET, 1), recirc=recirc).actions
    (recirc_id,) = recirc.states
    assert odp_text.format_actions(actions) == f"hash(sym_l4(0)),recirc({recirc_id:#x})"
    key = with_hash(key_of(PACKET, 1), recirc_id, 5)
    actions = translate(world.bridge, key, recirc=recirc).actions
    assert odp_text.format_actions(actions) == str(ODP_BASE + 3)
