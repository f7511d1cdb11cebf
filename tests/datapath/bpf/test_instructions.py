"""The assembler: each instruction passes the kernel's verifier, and does there what a naive
interpreter does."""

import copy
import os
import random
import struct

import pytest

from datapath.bpf import instructions, syscall
from datapath.bpf.instructions import FRAME, R0, R1, R2, AssemblyError, Code
from tests.datapath.bpf import naive_machine

INTERESTING = (0, 1, 2, 31, 63, 64, 0x7F, 0x80, 0xFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000)
VALUES = (*INTERESTING, *(~value & naive_machine.M64 for value in INTERESTING), 1 << 63, 1 << 32)
FRAME_BYTES = bytes(64)


def loadable():
    try:
        os.close(syscall.map_create(syscall.ARRAY, 4, 8, 1))
    except OSError:
        return False
    return True


needs_bpf = pytest.mark.skipif(not loadable(), reason="bpf(2) is not allowed here")


def result_in_kernel(code):
    """All 64 bits of r0: the kernel tells 32, so the upper half is asked for by a second run."""
    halves = []
    for shift in (0, 32):
        program = copy.deepcopy(code).alu("rsh", R0, shift).exit().assemble({})
        fd = syscall.prog_load(syscall.SCHED_CLS, program, "test")
        try:
            halves.append(syscall.test_run(fd, FRAME_BYTES)[0])
        finally:
            os.close(fd)
    return halves[1] << 32 | halves[0]


def agree(code):
    """`code` leaves its result in r0."""
    naive = naive_machine.run(copy.deepcopy(code).exit().assemble({}))
    assert result_in_kernel(code) == naive


def operands(rng, n=6):
    return [(rng.choice(VALUES), rng.choice(VALUES)) for _ in range(n)]


@needs_bpf
@pytest.mark.parametrize("bits", (32, 64))
@pytest.mark.parametrize("name", instructions.ARITHMETIC)
def test_arithmetic(name, bits):
    for left, right in operands(random.Random(f"{name}{bits}")):
        small = naive_machine.signed(right, 31) or 1
        if name in ("lsh", "rsh", "arsh"):
            small = right = right % bits
        agree(Code().wide(R0, left).wide(R1, right).alu(name, R0, R1, bits))
        agree(Code().wide(R0, left).alu(name, R0, small, bits))


def compared(name, bits, left, right, operand):
    code = Code().wide(R1, left).wide(R2, right).mov(R0, 1)
    code.jump(name, R1, operand, "taken", bits)
    return code.mov(R0, 2).go("end").label("taken").add(R0, 8).label("end")


@needs_bpf
@pytest.mark.parametrize("bits", (32, 64))
@pytest.mark.parametrize("name", instructions.CONDITIONS)
def test_jumps(name, bits):
    rng = random.Random(f"{name}{bits}")
    for left, right in [*operands(rng), (5, 5), (1 << 32 | 5, 5), (5, naive_machine.M64)]:
        agree(compared(name, bits, left, right, R2))
        agree(compared(name, bits, left, right, naive_machine.signed(right, 32)))


@needs_bpf
@pytest.mark.parametrize("bits", instructions.WIDTHS)
def test_memory(bits):
    at = -8 - bits // 8
    for value, before in operands(random.Random(bits)):
        for operand in (R1, naive_machine.signed(value, 32)):
            code = Code().wide(R1, before).store(FRAME, -16, R1, 64).wide(R1, value)
            code.store(FRAME, at, operand, bits).load(R0, FRAME, at, bits)
            agree(code.load(R2, FRAME, -16, 64).alu("xor", R0, R2))


@needs_bpf
@pytest.mark.parametrize("bits", (32, 64))
@pytest.mark.parametrize("name", instructions.ATOMICS)
def test_atomics(name, bits):
    for value, before in operands(random.Random(name)):
        code = Code().wide(R1, before).store(FRAME, -8, R1, 64).wide(R2, value)
        agree(code.atomic(name, FRAME, -8, R2, bits).load(R0, FRAME, -8, 64))


@needs_bpf
@pytest.mark.parametrize("bits", (16, 32, 64))
def test_order_of_bytes_and_sign(bits):
    for value in VALUES:
        agree(Code().wide(R0, value).big_endian(R0, bits))
        if bits != 16:
            agree(Code().wide(R0, value).negate(R0, bits))


@needs_bpf
def test_maps_by_reference():
    """A helper finds a map's value, the place of a value is memory, user space maps the same."""
    fd = syscall.map_create(syscall.ARRAY, 4, 16, 1, "test", syscall.MMAPABLE)
    memory = syscall.map_memory(fd, 16)
    memory[8:16] = struct.pack("=Q", 40)
    code = Code().store(FRAME, -4, 0, 32).map(R1, "numbers").mov(R2, FRAME).add(R2, -4)
    code.call("map_lookup_elem").jump("jeq", R0, 0, "end").load(R2, R0, 8, 64)
    code.map_value(R1, "numbers", 8).load(R0, R1, 0, 64).alu("add", R0, R2)
    code.store(R1, -8, R0, 64).label("end").exit()
    program = syscall.prog_load(syscall.SCHED_CLS, code.assemble({"numbers": fd}))
    assert syscall.test_run(program, FRAME_BYTES)[0] == 80
    assert syscall.map_lookup(fd, bytes(4), 16) == struct.pack("=QQ", 80, 40) == memory[:16]
    memory.close()
    os.close(program)
    os.close(fd)


@needs_bpf
def test_elements_of_a_hash():
    fd = syscall.map_create(syscall.HASH, 4, 8, 10)
    keys = [struct.pack("=I", number) for number in range(10)]
    for key in keys:
        syscall.map_update(fd, key, key * 2)
    with pytest.raises(OSError):
        syscall.map_update(fd, b"more", bytes(8))
    assert sorted(syscall.map_keys(fd, 4)) == sorted(keys)
    assert syscall.map_lookup(fd, keys[3], 8) == keys[3] * 2
    assert syscall.map_delete(fd, keys[3]) and not syscall.map_delete(fd, keys[3])
    assert syscall.map_lookup(fd, keys[3], 8) is None
    os.close(fd)


@needs_bpf
def test_a_refusal_has_the_verifiers_words():
    code = Code().load(R0, R2, 0, 64).exit()  # r2 has no value
    with pytest.raises(syscall.LoadError, match="R2 !read_ok") as caught:
        syscall.prog_load(syscall.SCHED_CLS, code.assemble({}))
    assert "R2" in caught.value.log


@pytest.mark.parametrize(
    "wrong",
    (
        lambda: Code().go("nowhere").assemble({}),
        lambda: Code().label("a").label("a"),
        lambda: Code().map(R1, "unknown").assemble({}),
        lambda: Code().mov(R0, 1 << 31),
        lambda: Code().load(R0, R1, 0, 24),
        lambda: Code().load(R0, R1, 1 << 15, 8).assemble({}),
        lambda: Code().atomic("add", R1, 0, R2, 8),
        lambda: Code().big_endian(R0, 8),
    ),
)
def test_what_is_no_program(wrong):
    with pytest.raises(AssemblyError):
        wrong()


def test_a_jump_too_far():
    code = Code().go("end")
    for _ in range(1 << 15):
        code.mov(R0, 0)
    with pytest.raises(AssemblyError, match="reaches"):
        code.label("end").exit().assemble({})
