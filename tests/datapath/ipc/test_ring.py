"""Rings against a plain queue, with either side hostile, and with a side that is killed."""

import mmap
import os
import signal
import struct
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from datapath.ipc.ring import Ring, create_memory

HEADER, HEAD, TAIL, SLEEPING, WRAP = 4096, 0, 128, 256, 0xFFFFFFFF
SIZES = st.one_of(st.integers(0, 64), st.integers(0, 2040), st.sampled_from((2047, 2048, 2049)))


def space(length):
    """Bytes that a record takes."""
    return 8 + (length + 7 & ~7)


class Pair:
    """A ring's two sides, and its memory as a hostile process has it."""

    def __init__(self, size=4096):
        self.fd = create_memory(size)
        self.writer, self.reader = Ring(self.fd), Ring(self.fd)
        self.memory = mmap.mmap(self.fd, HEADER + size)
        self.size = size

    def close(self):
        self.memory.close()
        os.close(self.fd)


@pytest.fixture
def pair():
    made = Pair()
    yield made
    made.close()


class Twins(RuleBasedStateMachine):
    """Writer and reader against a deque; sleeping is asked for, and waking due, as promised."""

    @initialize(size=st.sampled_from((4096, 8192)))
    def start(self, size):
        self.pair = Pair(size)
        self.queue = deque()
        self.asleep = False
        self.number = self.head = 0

    def teardown(self):
        if hasattr(self, "pair"):
            self.pair.close()

    @rule(length=SIZES)
    def push(self, length):
        self.number += 1
        record = bytes((self.number + i) & 0xFF for i in range(length))
        # A record never wraps: the bytes in front of the end may be lost for it.
        to_end = self.pair.size - self.head % self.pair.size
        need = space(length) + (to_end if space(length) > to_end else 0)
        used = sum(taken for _, taken in self.queue)
        fits = length <= self.pair.size // 2 and used + need <= self.pair.size
        assert self.pair.writer.push(record) == fits
        if fits:
            self.queue.append((record, need))
            self.head += need
            assert self.pair.writer.must_wake() == self.asleep
            self.asleep = False

    @rule()
    def pop(self):
        assert self.pair.reader.pop() == (self.queue.popleft()[0] if self.queue else None)

    @rule()
    def sleep(self):
        assert self.pair.reader.sleep() == (not self.queue)
        self.asleep = not self.queue

    @invariant()
    def whole(self):
        if hasattr(self, "pair"):
            assert not self.pair.writer.broken and not self.pair.reader.broken


TestTwins = Twins.TestCase
TestTwins.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)


@settings(max_examples=300)
@given(data=st.data())
def test_hostile_writer(data):
    """Whatever the shared memory says, the reader gives whole records or declares it broken."""
    pair = Pair()
    try:
        words = st.one_of(st.integers(0, 64), st.just(WRAP), st.integers(0, WRAP))
        for _ in range(data.draw(st.integers(1, 30))):
            at = data.draw(st.integers(0, pair.size // 8 - 1)) * 8
            struct.pack_into("=II", pair.memory, HEADER + at, data.draw(words), data.draw(words))
        struct.pack_into("=I", pair.memory, HEADER, data.draw(words))
        struct.pack_into("=Q", pair.memory, HEAD, data.draw(st.integers(0, 2 * pair.size)))
        taken = 0
        while (record := pair.reader.pop()) is not None:
            assert len(record) <= pair.size // 2
            taken += space(len(record))
            assert taken <= pair.size
    finally:
        pair.close()


@given(tail=st.integers(0, (1 << 64) - 1), lengths=st.lists(SIZES, max_size=8))
def test_hostile_reader(tail, lengths):
    """A position that the reader cannot have breaks the ring, or gives no more than its size."""
    pair = Pair()
    try:
        written = 0
        for length in lengths:
            struct.pack_into("=Q", pair.memory, TAIL, tail)
            if pair.writer.push(bytes(length)):
                written += space(length)
                assert tail <= written
        assert written <= 2 * pair.size + tail
        if tail & 7 and any(length <= pair.size // 2 for length in lengths):
            assert pair.writer.broken
    finally:
        pair.close()


def test_positions_that_go_back_break_the_ring(pair):
    for _ in range(3):
        assert pair.writer.push(b"x" * 100)
        assert pair.reader.pop() is not None
    struct.pack_into("=Q", pair.memory, TAIL, 0)
    assert not pair.writer.push(b"y")
    assert pair.writer.broken
    struct.pack_into("=Q", pair.memory, HEAD, 0)
    assert pair.reader.pop() is None and pair.reader.broken


def test_broken_stays_broken(pair):
    struct.pack_into("=Q", pair.memory, HEAD, 12345)
    assert pair.reader.pop() is None and pair.reader.broken
    struct.pack_into("=Q", pair.memory, HEAD, 0)
    assert pair.reader.pop() is None
    assert pair.reader.sleep()  # nothing will come: it may


@pytest.mark.parametrize("size", (0, 8, 4095, 4096 + 8, 3 << 12))
def test_sizes(size):
    with pytest.raises(ValueError):
        create_memory(size)


@pytest.mark.parametrize("size", (0, 4096, HEADER + 4095, HEADER + 12288, (1 << 31) + HEADER))
def test_memory_that_is_no_ring(size):
    fd = os.memfd_create("no-ring")
    try:
        os.ftruncate(fd, size)
        with pytest.raises(OSError):
            Ring(fd)
    finally:
        os.close(fd)


def test_memory_cannot_be_cut_under_the_other_side(pair):
    with pytest.raises(PermissionError):
        os.ftruncate(pair.fd, 4096)


def _child(function):
    """Run `function` in a process of its own; returns its id."""
    pid = os.fork()
    if pid == 0:
        try:
            function()
        finally:
            os._exit(0)
    return pid


def test_killed_reader(pair):
    """The writer fills the ring and stops there; who maps it next goes on with what is left."""
    ready, told = os.pipe()

    def take():
        for _ in range(3):
            pair.reader.pop()
        os.write(told, b"x")
        signal.pause()

    for number in range(10):
        assert pair.writer.push(bytes([number]) * 100)
    pid = _child(take)
    assert os.read(ready, 1) == b"x"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    pushed = 10
    while pair.writer.push(bytes([pushed & 0xFF]) * 100):
        pushed += 1
    assert not pair.writer.broken
    successor = Ring(pair.fd)
    for number in range(3, pushed):
        assert successor.pop() == bytes([number]) * 100
    assert successor.pop() is None
    assert pair.writer.push(b"again") and successor.pop() == b"again"
    os.close(ready)
    os.close(told)


def test_two_processes(pair):
    """Thirty thousand records of all sizes, in order, across processes with an eventfd."""
    event = os.eventfd(0)
    count = 30_000

    def write():
        for number in range(count):
            record = struct.pack("=I", number) + bytes([number & 0xFF]) * (number % 500)
            while not pair.writer.push(record):
                os.sched_yield()
            if pair.writer.must_wake():
                os.eventfd_write(event, 1)

    pid = _child(write)
    for number in range(count):
        while (record := pair.reader.pop()) is None:
            if pair.reader.sleep():
                os.eventfd_read(event)
        assert record == struct.pack("=I", number) + bytes([number & 0xFF]) * (number % 500)
    assert os.waitpid(pid, 0)[1] == 0
    assert pair.reader.pop() is None and not pair.reader.broken
    os.close(event)
