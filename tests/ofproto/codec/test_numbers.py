"""The two forms of OpenFlow's numbers, for Python and for C, say the same."""

import re
from pathlib import Path

from ofproto.codec import numbers


def test_twins():
    declared = Path(numbers.__file__).with_suffix(".pxd").read_text()
    pairs = re.findall(r"^ +(\w+) = (\w+)", declared, re.M)
    assert len(pairs) > 20
    assert {name: int(value, 0) for name, value in pairs} == {
        name: getattr(numbers, name) for name, _ in pairs
    }
