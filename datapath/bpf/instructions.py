"""An assembler for the kernel's BPF machine: instructions by table, labels, references to maps.

The instruction set is RFC 9669; how a 64-bit immediate names a map is bpf(2)'s own.  A program is
a list of calls:

    code = Code()
    code.mov(R0, 1).jump("jeq", R1, 0, "end").add(R0, 2).label("end").exit()
    code.assemble({})

An operand that is a Register is a register, an int is an immediate.  Registers are r0 (results),
r1 to r5 (arguments, lost in a call), r6 to r9 and r10, the frame's end, which is read only.
"""

import struct
from collections.abc import Mapping
from typing import NamedTuple


class Register(NamedTuple):
    number: int


R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 = (Register(number) for number in range(11))
FRAME = R10  # the stack is the 512 bytes below it

INSTRUCTION = struct.Struct("=BBhi")  # opcode, source << 4 | destination, offset, immediate

# Classes, and the bits that go with them
LD, LDX, ST, STX, ALU, JMP, JMP32, ALU64 = range(8)
IMM, MEM, ATOMIC = 0x00, 0x60, 0xC0  # modes of loads and stores
SOURCE_REGISTER = 0x08
TO_BIG_ENDIAN = 0x08
PSEUDO_MAP_FD, PSEUDO_MAP_VALUE = 1, 2

ARITHMETIC = {
    **{"add": 0x00, "sub": 0x10, "mul": 0x20, "div": 0x30, "or": 0x40, "and": 0x50, "lsh": 0x60},
    **{"rsh": 0x70, "mod": 0x90, "xor": 0xA0, "mov": 0xB0, "arsh": 0xC0},
}
NEGATE, SWAP = 0x80, 0xD0
CONDITIONS = {
    **{"jeq": 0x10, "jgt": 0x20, "jge": 0x30, "jset": 0x40, "jne": 0x50, "jsgt": 0x60},
    **{"jsge": 0x70, "jlt": 0xA0, "jle": 0xB0, "jslt": 0xC0, "jsle": 0xD0},
}
ALWAYS, CALL, EXIT = 0x00, 0x80, 0x90
WIDTHS = {8: 0x10, 16: 0x08, 32: 0x00, 64: 0x18}  # bits of a load or store
ATOMICS = {"add": 0x00, "or": 0x40, "and": 0x50, "xor": 0xA0}

# Numbers of helper functions, <linux/bpf.h>
HELPERS = {
    **{"map_lookup_elem": 1, "ktime_get_ns": 5, "get_smp_processor_id": 8, "skb_store_bytes": 9},
    **{"l3_csum_replace": 10, "skb_vlan_push": 18, "skb_vlan_pop": 19, "redirect": 23},
    **{"skb_load_bytes": 26, "redirect_map": 51},
}


class AssemblyError(ValueError):
    """The code cannot be a program."""


class _Instruction(NamedTuple):
    opcode: int
    destination: int = 0
    source: int = 0
    offset: int = 0
    immediate: int = 0
    target: str | None = None  # a label, whose distance goes into the offset
    map: str | None = None  # whose descriptor goes into the immediate


def _signed(value: int, bits: int) -> int:
    """`value`, written with or without sign, as struct takes it."""
    if not -(1 << bits - 1) <= value < 1 << bits:
        raise AssemblyError(f"{value} has no {bits} bits")
    return value - (1 << bits) if value >= 1 << bits - 1 else value


def _width(bits: int) -> int:
    if bits not in WIDTHS:
        raise AssemblyError(f"{bits}: no width of a load or store")
    return WIDTHS[bits]


class Code:
    """Instructions so far; each method appends some and returns the code itself."""

    def __init__(self) -> None:
        self._instructions: list[_Instruction] = []
        self._labels: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._instructions)

    def _put(self, *args, **kwargs) -> "Code":
        self._instructions.append(_Instruction(*args, **kwargs))
        return self

    # --- arithmetic

    def alu(self, name: str, to: Register, operand: Register | int, bits: int = 64) -> "Code":
        """`to` = `to` NAME operand; of 32 bits: the upper half becomes 0."""
        kind = {64: ALU64, 32: ALU}[bits]
        if isinstance(operand, Register):
            return self._put(kind | SOURCE_REGISTER | ARITHMETIC[name], to.number, operand.number)
        if bits == 64 and not -(1 << 31) <= operand < 1 << 31:
            raise AssemblyError(f"{operand}: an immediate is 32 bits, and their sign is extended")
        return self._put(kind | ARITHMETIC[name], to.number, immediate=_signed(operand, 32))

    def mov(self, to: Register, operand: Register | int) -> "Code":
        return self.alu("mov", to, operand)

    def add(self, to: Register, operand: Register | int) -> "Code":
        return self.alu("add", to, operand)

    def negate(self, to: Register, bits: int = 64) -> "Code":
        return self._put({64: ALU64, 32: ALU}[bits] | NEGATE, to.number)

    def big_endian(self, to: Register, bits: int) -> "Code":
        """The lower bits between host and network order; those above become 0."""
        if bits not in (16, 32, 64):
            raise AssemblyError(f"{bits}: no width of an order of bytes")
        return self._put(ALU | SWAP | TO_BIG_ENDIAN, to.number, immediate=bits)

    def wide(self, to: Register, value: int) -> "Code":
        """An immediate of 64 bits."""
        value &= (1 << 64) - 1
        self._put(LD | IMM | WIDTHS[64], to.number, immediate=_signed(value & 0xFFFFFFFF, 32))
        return self._put(0, immediate=_signed(value >> 32, 32))

    # --- maps

    def map(self, to: Register, name: str) -> "Code":
        """A map, as helper functions take it."""
        self._put(LD | IMM | WIDTHS[64], to.number, PSEUDO_MAP_FD, map=name)
        return self._put(0)

    def map_value(self, to: Register, name: str, offset: int = 0) -> "Code":
        """The place of the only value of an array."""
        self._put(LD | IMM | WIDTHS[64], to.number, PSEUDO_MAP_VALUE, map=name)
        return self._put(0, immediate=offset)

    # --- memory

    def load(self, to: Register, base: Register, offset: int, bits: int) -> "Code":
        return self._put(LDX | MEM | _width(bits), to.number, base.number, offset)

    def store(self, base: Register, offset: int, value: Register | int, bits: int) -> "Code":
        if isinstance(value, Register):
            return self._put(STX | MEM | _width(bits), base.number, value.number, offset)
        immediate = _signed(value, 32)
        return self._put(ST | MEM | _width(bits), base.number, 0, offset, immediate)

    def atomic(self, name: str, base: Register, offset: int, value: Register, bits: int) -> "Code":
        """Memory = memory NAME value, in one step; 32 or 64 bits."""
        if bits not in (32, 64):
            raise AssemblyError(f"{bits}: no width of an atomic instruction")
        opcode = STX | ATOMIC | WIDTHS[bits]
        return self._put(opcode, base.number, value.number, offset, ATOMICS[name])

    # --- control

    def label(self, name: str) -> "Code":
        """Names the instruction that comes next."""
        if name in self._labels:
            raise AssemblyError(f"label {name} stands twice")
        self._labels[name] = len(self._instructions)
        return self

    def jump(
        self, name: str, left: Register, right: Register | int, target: str, bits: int = 64
    ) -> "Code":
        """To a label behind here, when the condition holds."""
        kind = {64: JMP, 32: JMP32}[bits] | CONDITIONS[name]
        if isinstance(right, Register):
            return self._put(kind | SOURCE_REGISTER, left.number, right.number, target=target)
        return self._put(kind, left.number, immediate=_signed(right, 32), target=target)

    def go(self, target: str) -> "Code":
        return self._put(JMP | ALWAYS, target=target)

    def call(self, helper: str) -> "Code":
        """r1 to r5 are the arguments, and are lost; r0 is the result."""
        return self._put(JMP | CALL, immediate=HELPERS[helper])

    def exit(self) -> "Code":
        return self._put(JMP | EXIT)

    # --- the result

    def assemble(self, maps: Mapping[str, int]) -> bytes:
        """The program's bytes; `maps`: descriptors by name.  AssemblyError."""
        return b"".join(
            self._encode(at, instruction, maps) for at, instruction in enumerate(self._instructions)
        )

    def _encode(self, at: int, one: _Instruction, maps: Mapping[str, int]) -> bytes:
        offset, immediate = one.offset, one.immediate
        if one.target is not None:
            if one.target not in self._labels:
                raise AssemblyError(f"no label {one.target}")
            offset = self._labels[one.target] - at - 1
        if one.map is not None:
            if one.map not in maps:
                raise AssemblyError(f"no map {one.map}")
            immediate = maps[one.map]
        if not -(1 << 15) <= offset < 1 << 15:
            raise AssemblyError(f"{offset}: further than an instruction reaches")
        registers = one.source << 4 | one.destination
        return INSTRUCTION.pack(one.opcode, registers, offset, immediate)
