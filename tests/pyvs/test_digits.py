"""Numbers that others wrote."""

import pytest

from pyvs import digits


@pytest.mark.parametrize(
    ("text", "most", "found"),
    [
        ("0", 0, 0), ("007", 7, 7), ("7", 6, None), ("0" * 9000 + "5", 9, 5), ("9" * 9000, 9, None),
        (str(2**64 - 1), 2**64 - 1, 2**64 - 1), (str(2**64), 2**64 - 1, None),
        *((text, 99, None) for text in ("", "-1", "+1", " 1", "1_0", "\u00b2", "\u0663", "1\n")),
    ],
)  # fmt: skip
def test_number(text, most, found):
    assert digits.number(text, most) == found
