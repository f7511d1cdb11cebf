"""What protocols keep over the death of their process: the peers of one that comes back see none of
it, and what is not what was kept changes nothing."""

import json
import random

import pytest
import test_rstp
from test_lacp import Net as Links
from test_stp import mac

from ofproto.protocols import bfd, cfm, lacp, rstp, rstp_port, stp
from ofproto.protocols.kept import KeptTree


def through_json(kept):
    return json.loads(json.dumps(kept))


def reborn(tree, now):
    """The tree of a new process, whose clock may be another."""
    kept = tree.kept(now)
    ports = {key: through_json(plain) for key, plain in kept.ports.items()}
    return type(tree).restored(KeptTree(through_json(kept.bridge), kept.root_port, ports), now)


def states(net):
    return {
        (name, key): (getattr(port, "forwarding", None), port.state)
        for name, bridge in net.bridges.items()
        for key, port in bridge.ports.items()
    }


class Dead:
    """Stands for a bridge whose process is gone: it hears and says nothing."""

    def __init__(self, tree):
        self.ports = tree.ports

    def receive(self, *_):
        pass

    def next_wakeup(self):
        return None

    take_frames = take_flushes = list


def kill(net, name, ms):
    """For `ms`; then it comes back as what it was when it died."""
    tree = net.bridges[name]
    kept_at = net.now
    net.bridges[name] = Dead(tree)
    net.run(ms)
    found = reborn(tree, kept_at)
    for key, port in found.ports.items():  # times count on from now
        assert repr(port.settings) == repr(tree.ports[key].settings)
    net.bridges[name] = reborn(tree, net.now) if ms == 0 else _shifted(tree, kept_at, net.now)


def _shifted(tree, then, now):
    kept = tree.kept(then)
    return type(tree).restored(kept, now)


@pytest.mark.parametrize("seed", range(12))
def test_a_rapid_tree_does_not_notice(seed):
    rng = random.Random(seed)
    net = test_rstp.make(test_rstp.random_plugs(rng)[0], rng, delay=5)
    net.run(20_000 + rng.randint(0, 2000))
    before = states(net)
    for name in rng.sample(sorted(net.bridges), 3):
        kill(net, name, rng.choice((0, 500, 1500, 3000)))
        net.run(rng.choice((10, 5000)))
        assert states(net) == before
    assert not net.loops
    # And it is a tree like others: a link fails, and the rest agrees.
    test_rstp.set_lan(net, "0", False)
    net.run(45_000)
    assert test_rstp.is_whole(net) and not net.loops


@pytest.mark.parametrize("seed", range(6))
def test_a_tree_of_1998_does_not_notice(seed):
    rng = random.Random(seed)
    net = test_rstp.Net(rng, delay=5)
    plugs, _ = test_rstp.random_plugs(rng)
    for name, lans in plugs.items():
        tree = net.bridges[name] = stp.Stp(stp.Settings(0x8000, mac(name)), 0)
        for number, lan in enumerate(lans.split(), 1):
            tree.set_port(number, stp.PortSettings(number, 128, 19, mac(name << 8 | number)), 0)
            net.attach(name, number, lan)
        for number in tree.ports:
            tree.enable_port(number, 0)
        net.collect(name)
    net.run(120_000 + rng.randint(0, 2000))
    before = states(net)
    for name in rng.sample(sorted(net.bridges), 3):
        kill(net, name, rng.choice((0, 3000, 8000)))
        net.run(rng.choice((10, 5000)))
        assert states(net) == before
    net.run(30_000)
    assert states(net) == before and not net.loops


def test_ports_that_are_gone_are_gone():
    """The root's way is one of them: it is looked for again."""
    net = test_rstp.make({1: "a b", 2: "a c", 3: "b c"})
    net.run(10_000)
    tree = net.bridges[3]
    kept = tree.kept(net.now)
    assert tree.root_port.key == 1
    del kept.ports[1]
    found = rstp.Rstp.restored(kept, net.now)
    assert found.root_port.key == 2 and found.root_port.state == "Forwarding"


def up_bfd():
    one, other = (bfd.Session(bfd.Settings(), 0) for _ in range(2))
    now = exchange(one, other, 0, 12_000)
    assert one.state == other.state == bfd.UP
    return one, other, now


def exchange(one, other, now, ms):
    for now in range(now, now + ms, 50):  # noqa: B020
        for here, there in ((one, other), (other, one)):
            payload = here.run(now, 0)
            if payload is not None:
                there.receive(payload, now)
    return now


def test_bfd_and_cfm_do_not_notice():
    one, other, now = up_bfd()
    flaps = other.flaps
    again = bfd.Session(bfd.Settings(), now)
    again.restore(through_json(one.kept(now)), now)
    now += 1500  # well within three intervals
    exchange(again, other, now, 8000)
    assert again.state == other.state == bfd.UP
    assert (other.flaps, again.flaps, again.discriminator) == (flaps, one.flaps, one.discriminator)
    # Who was told to be down in between finds that out.
    third = bfd.Session(bfd.Settings(), now)
    third.restore(through_json(again.kept(now)), now)
    dead = bfd.Session(bfd.Settings(), now, other.discriminator)
    exchange(third, dead, now, 100)
    assert third.state == bfd.DOWN and third.flaps == again.flaps + 1

    a, b = (cfm.MaintenancePoint(cfm.Settings(n), 0) for n in (1, 2))
    now = exchange(a, b, 0, 40_000)
    assert not a.is_faulty and a.told == (2,) and b.health == 100
    again = cfm.MaintenancePoint(cfm.Settings(1), now)
    again.restore(through_json(a.kept(now)), now)
    flaps = b.flaps
    exchange(again, b, now + 2000, 20_000)
    assert (b.flaps, again.flaps, again.told, again.faults) == (flaps, a.flaps, (2,), frozenset())


@pytest.mark.parametrize("fast", [False, True])
def test_lacp_does_not_notice(fast):
    net = Links()
    one, other = net.side("a", active=True, fast=fast), net.side("b", fast=fast)
    for port in (1, 2):
        net.join(("a", port), ("b", port))
    net.run(10_000)
    assert all(each.may_enable(port) for each in (one, other) for port in (1, 2))
    again = lacp.Aggregate(one.settings)
    for key, member in one.members.items():
        again.set_member(key, member.settings, net.now)
    again.restore(through_json(one.kept(net.now)), net.now)
    assert all(again.may_enable(port) for port in (1, 2))
    net.now += 1500
    net.sides["a"] = again
    told = [member.partner for member in other.members.values()]
    for _ in range(50):
        net.run(100)
        assert all(each.may_enable(port) for each in (again, other) for port in (1, 2))
        assert [member.partner for member in other.members.values()] == told
    counts = [member.counts for member in other.members.values()]
    assert not any(each.expired or each.defaulted > 1 for each in counts)


def spoiled(rng, value):
    """JSON with one place of it something else."""
    if isinstance(value, list | dict) and value and rng.random() < 0.85:
        value = value.copy()
        keys = range(len(value)) if isinstance(value, list) else list(value)
        key = rng.choice(keys)
        if rng.random() < 0.1:
            del value[key]
        else:
            value[key] = spoiled(rng, value[key])
        return value
    return rng.choice(
        (None, -1, 1 << 63, 0xFFFF, 3, "x", [], {}, True, 1.5, [[]], "00" * 6, [1, 2])
    )


def test_nothing_but_what_was_kept_is_taken():
    rng = random.Random(5)
    one, _, now = up_bfd()
    point = cfm.MaintenancePoint(cfm.Settings(1), 0)
    point.receive(cfm.compose(cfm.Ccm(4, 1, 2, cfm.MAID, 0, 0, False)), 0)
    point.run(5000, 0)
    things = [(one, lambda: bfd.Session(bfd.Settings(), now))]
    things.append((point, lambda: cfm.MaintenancePoint(cfm.Settings(1), now)))
    refused = 0
    for _ in range(4000):
        thing, make = rng.choice(things)
        fresh = make()
        before = through_json(fresh.kept(now))
        try:
            fresh.restore(spoiled(rng, through_json(thing.kept(now))), now)
        except (ValueError, TypeError, LookupError, AttributeError):
            refused += 1
            assert fresh.kept(now) == before
        fresh.run(now, 0)  # whatever it took, it works with it
        fresh.kept(now)
    assert refused > 1000
    net = test_rstp.make({1: "a b", 2: "a c", 3: "b c"})
    net.run(10_000)
    kept = net.bridges[2].kept(net.now)
    for _ in range(2000):
        wrong = spoiled(rng, [kept.bridge, kept.root_port, list(kept.ports.values())])
        try:
            bridge, root, ports = wrong
            found = KeptTree(bridge, root, dict(enumerate(ports, 1)))
            tree = rstp.Rstp.restored(found, net.now)
        except (ValueError, TypeError, LookupError, AttributeError):
            refused += 1
            continue
        for ms in range(0, 8000, 1000):
            tree.run(net.now + ms)
        tree.kept(net.now)
    assert refused > 2000


def test_times_that_no_bpdu_can_say_are_none():
    net = test_rstp.make({1: "a b", 2: "a c", 3: "b c"})
    net.run(10_000)
    kept = net.bridges[2].kept(net.now)
    for name in ("port_times", "designated_times"):
        ports = {key: list(plain) for key, plain in kept.ports.items()}
        for plain in ports.values():
            plain[list(rstp_port._KEPT).index(name)] = [0, 256, 2, 15]
        with pytest.raises(ValueError):
            rstp.Rstp.restored(kept._replace(ports=ports), net.now)
