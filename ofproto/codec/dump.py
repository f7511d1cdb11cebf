"""Bytes in hexadecimal, for people to read."""


def hex_dump(data: bytes, text: bool = True) -> str:
    """Lines of 16 bytes; `text`: with the printable ones at the end of each."""
    lines = []
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        cells = [f"{byte:02x}" for byte in row]
        left, right = " ".join(cells[:8]), " ".join(cells[8:])
        line = f"{at:08x}  {left}" + ("-" + right if len(row) >= 8 else "")
        if text:
            shown = "".join(chr(b) if 32 <= b < 127 else "." for b in row)
            line = f"{line:<57} |{shown:<16}|"
        lines.append(line + "\n")
    return "".join(lines)
