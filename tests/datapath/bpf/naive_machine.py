"""A naive interpreter of BPF programs on registers and a stack: RFC 9669, read once more."""

import struct

M64 = (1 << 64) - 1
STACK = 512
TOP = 0x7FFF0000  # the frame's end, as a number
SIZES = {0x10: 1, 0x08: 2, 0x00: 4, 0x18: 8}


def signed(value, bits):
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


def calculate(name, left, right, bits):
    mask = (1 << bits) - 1
    left, right = left & mask, right & mask
    shift = right & bits - 1
    result = {
        0x00: lambda: left + right,
        0x10: lambda: left - right,
        0x20: lambda: left * right,
        0x30: lambda: left // right if right else 0,
        0x40: lambda: left | right,
        0x50: lambda: left & right,
        0x60: lambda: left << shift,
        0x70: lambda: left >> shift,
        0x80: lambda: -left,
        0x90: lambda: left % right if right else left,
        0xA0: lambda: left ^ right,
        0xB0: lambda: right,
        0xC0: lambda: signed(left, bits) >> shift,
    }[name]()
    return result & mask


def holds(name, left, right, bits):
    mask = (1 << bits) - 1
    left, right = left & mask, right & mask
    low, high = signed(left, bits), signed(right, bits)
    return {
        0x10: left == right,
        0x20: left > right,
        0x30: left >= right,
        0x40: left & right != 0,
        0x50: left != right,
        0x60: low > high,
        0x70: low >= high,
        0xA0: left < right,
        0xB0: left <= right,
        0xC0: low < high,
        0xD0: low <= high,
    }[name]


def run(program):
    """What a program without calls and maps returns, 64 bits."""
    registers = [0] * 10 + [TOP]
    stack = bytearray(STACK)
    at = 0

    def place(base, offset):
        return STACK - (TOP - (registers[base] + offset))

    def read(base, offset, size):
        start = place(base, offset)
        return int.from_bytes(stack[start : start + size], "little")

    def write(base, offset, size, value):
        start = place(base, offset)
        stack[start : start + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")

    while True:
        opcode, pair, offset, immediate = struct.unpack_from("<BBhi", program, 8 * at)
        to, source = pair & 15, pair >> 4
        kind, name = opcode & 7, opcode & 0xF0
        operand = registers[source] if opcode & 8 else immediate & M64
        at += 1
        if kind in (4, 7) and name == 0xD0:
            size = immediate // 8
            lower = registers[to] & (1 << immediate) - 1
            registers[to] = int.from_bytes(lower.to_bytes(size, "little"), "big")
        elif kind in (4, 7):
            registers[to] = calculate(name, registers[to], operand, 64 if kind == 7 else 32)
        elif opcode == 0x18:
            upper = struct.unpack_from("<i", program, 8 * at + 4)[0]
            registers[to] = (upper << 32 | immediate & 0xFFFFFFFF) & M64
            at += 1
        elif kind == 1:
            registers[to] = read(source, offset, SIZES[opcode & 0x18])
        elif kind == 2:
            write(to, offset, SIZES[opcode & 0x18], immediate)
        elif kind == 3 and opcode & 0xE0 == 0x60:
            write(to, offset, SIZES[opcode & 0x18], registers[source])
        elif kind == 3:
            size = SIZES[opcode & 0x18]
            bits = 8 * size
            result = calculate(immediate, read(to, offset, size), registers[source], bits)
            write(to, offset, size, result)
        elif name == 0x90:
            return registers[0]
        elif name == 0x00 or holds(name, registers[to], operand, 64 if kind == 5 else 32):
            at += offset
