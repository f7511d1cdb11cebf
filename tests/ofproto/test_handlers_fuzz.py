"""Whatever a peer says to a bridge, it answers the barrier behind it."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ofproto.codec import messages as m
from tests.ofproto.bridge_world import World
from tests.ofproto.codec_samples import CASES

OF10, OF13 = 1, 4
RAWS = {
    version: [message.encode(version, 7, **words) for message, v, words in CASES if v == version]
    for version in (OF10, OF13)
}
# Of a message, and where: a byte becomes another.
CHANGES = st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=3)
MESSAGES = st.lists(st.tuples(st.integers(0, 1000), CHANGES), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def world():
    made = World()
    yield made
    made.close()


@pytest.fixture(params=[OF10, OF13], ids=["1.0", "1.3"])
def client(world, request):
    made = world.client(request.param)
    yield made
    made.close()


def changed(raw, changes):
    """The message with bytes changed behind its version and length."""
    data = bytearray(raw)
    for at, value in changes:
        if at % len(data) not in (0, 2, 3):
            data[at % len(data)] = value
    if data[1] in (4, 24):  # no role: the others' flows are to be changed, too
        return b""
    return bytes(data)


def check(world, client):
    """It still answers, and shows all its flows to each version."""
    client.barrier()
    for version, nxm in ((OF10, False), (OF10, True), (OF13, False)):
        other = world.client(version)
        reply = other.ask(m.AggregateRequest(nxm=nxm))
        other.write(m.FlowStatsRequest(nxm=nxm).encode(version, 99))
        other.write(m.BarrierRequest().encode(version, 100))
        # Not decoded: 1.0 has no order for some of what 1.3 can say.
        while other.read() != m.BarrierReply().encode(version, 100):
            pass
        assert reply.n_flows <= len(world.bridge.tables)
        other.close()
        world.clients.remove(other)


def test_each_sample(world, client):
    for raw in RAWS[client.version]:
        client.write(changed(raw, []))
        client.barrier()
    check(world, client)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(messages=MESSAGES)
def test_changed_samples(world, client, messages):
    raws = RAWS[client.version]
    client.write(b"".join(changed(raws[number % len(raws)], made) for number, made in messages))
    client.barrier()
    world.bridge.tables.expire(world.bridge._now + 10_000_000)
    if len(world.bridge.tables) > 5:
        check(world, client)
        client.do(m.FlowMod(m.DELETE))
