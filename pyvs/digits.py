"""Numbers that others wrote.

int() takes digits of any script, and not more than 4300 of them; str.isdigit() takes even such as
int() does not ("²").
"""

_LONGEST = 20  # digits of 64 bits


def are_all(text: str) -> bool:
    """Whether it is ASCII digits, however many."""
    return text.isascii() and text.isdecimal()


def number(text: str, most: int = (1 << 64) - 1) -> int | None:
    """What ASCII digits say; None: something else, or more than `most`."""
    significant = text.lstrip("0")
    if not are_all(text) or len(significant) > _LONGEST:
        return None
    value = int(significant or "0")
    return value if value <= most else None
