"""The kernel cache's programs against what the worker would do with the same packet."""

import random
import struct
from contextlib import closing, suppress

import pytest

from datapath.actions import odp
from datapath.actions.text.odp_text import attribute, set_attribute
from datapath.bpf import entry, programs, syscall
from datapath.bpf.memory import KernelMemory
from datapath.key import flow
from tests.datapath.bpf.test_instructions import needs_bpf
from tests.datapath.sample_frames import frames
from tests.native.recorder import Recorder

pytestmark = needs_bpf
REDIRECT, UNSPEC, SHOT = 7, 0xFFFFFFFF, 2
SLOT, GENERATION, IFINDEX, PORT = 7, 3, 1, 9  # of the loopback device: that of a test run
TAGS = (b"\x81\0", b"\x88\xa8", b"\x91\0")


@pytest.fixture(scope="module")
def memory():
    with closing(KernelMemory()) as made:
        made.generations[4 * SLOT : 4 * SLOT + 4] = struct.pack("=I", GENERATION)
        yield made


def full(member):
    return (1 << flow.MEMBERS[member][1] * 8) - 1


def put(member, value, mask=None):
    return set_attribute(member, value, full(member) if mask is None else mask)


OUTPUT = attribute(odp.OUTPUT, struct.pack("=I", PORT))
PUSH = attribute(odp.PUSH_VLAN, bytes.fromhex("8100f00a"))


def random_actions(rng):
    """A list that the cache can do, for a packet without a tag."""
    choices = [
        put("eth_dst", rng.randrange(1 << 48)),
        put("eth_src", rng.randrange(1 << 48), 0xFFFF),
        put("nw_ttl", rng.randrange(256)),
        PUSH + put("vlan0_tci", 0x1005, 0x1FFF),
        PUSH + attribute(odp.POP_VLAN, b""),
    ]
    picked = b"".join(rng.sample(choices[: rng.choice((3, 5))], rng.randrange(4)))
    return picked + OUTPUT if picked.count(PUSH) < 2 else OUTPUT


def filled(cache_entry, slot=SLOT, generation=GENERATION, ifindex=77):
    return struct.pack("=III", slot, generation, ifindex) + cache_entry[12:]


def install(memory, frame, actions):
    """The entry of a packet; its key."""
    key, value, port, _ = entry.prepare(frame, IFINDEX, actions)
    syscall.map_update(memory.entries, key, filled(value, ifindex=77 if port else 0))
    return key


def counted(memory):
    """(packets, bytes, TCP flags) of the slot."""
    size = programs.COUNTERS["size"]
    start = SLOT * memory.n_cpus * size
    rows = [
        struct.unpack_from("=QQQQ", memory.counters, start + cpu * size)
        for cpu in range(memory.n_cpus)
    ]
    flags = 0
    for row in rows:
        flags |= row[3]
    return sum(row[0] for row in rows), sum(row[1] for row in rows), flags


def forget_counters(memory):
    size = programs.COUNTERS["size"] * memory.n_cpus
    memory.counters[SLOT * size : (SLOT + 1) * size] = bytes(size)


def without_tag(frame):
    """As the kernel has it, with the tag beside the frame."""
    return frame[:12] + frame[16:] if frame[12:14] in TAGS else frame


def by_worker(frame, actions):
    """What leaves the switch, or None."""
    sent = [event for event in Recorder().run(frame, actions) if event[0] == "output"]
    assert [event[1] for event in sent] in ([], [PORT])
    return sent[0][2] if sent else None


READ = [
    name
    for name, frame in frames().items()
    if frame[12:14] not in TAGS and entry.prepare(frame, IFINDEX, OUTPUT)[0] is not None
]


def test_which_frames_are_read():
    assert set(READ) == {
        *("tcp4", "udp4", "udp4_unsummed", "sctp4", "icmp4", "gre4", "padded"),
        *("fragment4_first", "fragment4_later", "tcp6", "udp6", "sctp6", "icmp6"),
    }


@pytest.mark.parametrize("name", READ)
def test_a_hit_does_what_the_worker_does(memory, name):
    rng = random.Random(name)
    frame = frames()[name]
    for _ in range(40):
        actions = random_actions(rng)
        key = install(memory, frame, actions)
        forget_counters(memory)
        result, out = syscall.test_run(memory.classifier, frame)
        assert (result, out) == (REDIRECT, without_tag(by_worker(frame, actions)))
        flags = flow.extract(frame)[slice(*_place("tcp_flags"))]
        assert counted(memory) == (1, len(frame), int.from_bytes(flags, "little"))
        syscall.map_delete(memory.entries, key)
        assert syscall.test_run(memory.classifier, frame) == (UNSPEC, frame)


def _place(member):
    offset, size = flow.MEMBERS[member][:2]
    return offset, offset + size


def mutated(rng, frame):
    """A frame with a few bytes changed, mostly of its headers, or cut."""
    data = bytearray(frame)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(min(len(data), 62))
        data[at] = rng.choice((data[at] ^ 1 << rng.randrange(8), rng.randrange(256)))
    return bytes(data[: rng.choice((len(data), len(data), rng.randrange(20, len(data) + 1)))])


@pytest.mark.parametrize("name", [name for name in frames() if frames()[name][12:14] not in TAGS])
def test_a_frame_hits_the_entry_of_its_key_and_no_other(memory, name):
    """With entries for a frame and some like it, a frame hits if and only if its key is there."""
    rng = random.Random(name)
    frame = frames()[name]
    there = set()
    family = [frame, *(mutated(rng, frame) for _ in range(40))]
    for one in family[:20]:
        if one[12:14] not in TAGS and entry.prepare(one, IFINDEX, OUTPUT)[0] is not None:
            there.add(install(memory, one, OUTPUT))
    for one in family:
        if one[12:14] in TAGS:
            continue
        hit = entry.prepare(one, IFINDEX, OUTPUT)[0] in there
        with suppress(OSError):  # the kernel makes no packet of a frame cut as short
            assert syscall.test_run(memory.classifier, one)[0] == (REDIRECT if hit else UNSPEC)
    for key in there:
        syscall.map_delete(memory.entries, key)


def test_the_key_tells_apart_whatever_a_mask_may_name():
    """Frames with one cache_key have one flow_key, but for what cache_mask_fits() refuses."""
    rng = random.Random(5)
    seen = {}
    refused = [_place("tcp_flags"), _place("ipv6_label")]
    for frame in frames().values():
        for _ in range(200):
            one = mutated(rng, frame)
            key = entry.prepare(one, IFINDEX, b"")[0] if len(one) >= 14 else None
            if key is None:
                continue
            whole = bytearray(flow.extract(one))
            for start, end in refused:
                whole[start:end] = bytes(end - start)
            assert seen.setdefault(key, whole) == whole
    assert len(seen) > 1000


def test_which_masks_fit():
    port = bytearray(flow.KEY_DP_SIZE)
    port[slice(*_place("in_port"))] = b"\xff" * 4
    assert entry.mask_fits(bytes(port)) and not entry.mask_fits(bytes(flow.KEY_DP_SIZE))
    for member in ("tcp_flags", "ipv6_label"):
        start, _ = _place(member)
        assert not entry.mask_fits(bytes(port[:start] + b"\1" + port[start + 1 :]))


def test_a_drop_counts_and_a_moved_generation_is_a_miss(memory):
    frame = frames()["tcp4"]
    for actions in (b"", attribute(odp.DROP, bytes(4)), put("nw_ttl", 3)):
        key = install(memory, frame, actions)
        forget_counters(memory)
        assert syscall.test_run(memory.classifier, frame)[0] == SHOT
        assert by_worker(frame, actions) is None
        assert counted(memory)[:2] == (1, len(frame))
    place = slice(4 * SLOT, 4 * SLOT + 4)
    memory.generations[place] = struct.pack("=I", GENERATION + 1)
    assert syscall.test_run(memory.classifier, frame) == (UNSPEC, frame)
    assert counted(memory)[0] == 1
    memory.generations[place] = struct.pack("=I", GENERATION)
    assert syscall.test_run(memory.classifier, frame)[0] == SHOT
    syscall.map_delete(memory.entries, key)


@pytest.mark.parametrize(
    "actions",
    (
        OUTPUT + OUTPUT,
        attribute(odp.POP_VLAN, b"") + OUTPUT,
        PUSH + PUSH + OUTPUT,
        attribute(odp.PUSH_VLAN, bytes.fromhex("91000001")) + OUTPUT,
        put("nw_tos", 4) + OUTPUT,
        put("nw_src", 1) + OUTPUT,
        put("vlan0_tci", 0x1001) + OUTPUT,
        attribute(odp.METER, struct.pack("=I", 1)) + OUTPUT,
        attribute(odp.RECIRC, struct.pack("=I", 1)),
        attribute(odp.TRUNC, struct.pack("=I", 100)) + OUTPUT,
    ),
)
def test_what_the_programs_cannot_do_stays_with_the_worker(actions):
    assert entry.prepare(frames()["tcp4"], IFINDEX, actions)[1] is None
