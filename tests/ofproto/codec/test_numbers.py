"""The two forms of numbers, for Python and for C, say the same."""

import re
from pathlib import Path

import pytest

from datapath.base import protocols
from ofproto.codec import numbers

ROOT = Path(protocols.__file__).parent.parent.parent
# Where the Python form of what is declared there stands
TWINS = {
    "ofproto/codec/numbers.pxd": numbers,
    "datapath/base/protocols.pxd": protocols,
    "datapath/actions/tunnel_push.pxd": protocols,
    "ofproto/xlate/outputs/output.pxd": protocols,
}


@pytest.mark.parametrize("declared", TWINS)
def test_twins(declared):
    twin = TWINS[declared]
    pairs = re.findall(r"^ +(\w+) = (\w+)", (ROOT / declared).read_text(), re.M)
    shared = {name: int(value, 0) for name, value in pairs if hasattr(twin, name)}
    assert len(shared) > (1 if twin is protocols else len(pairs) - 1)
    assert shared == {name: getattr(twin, name) for name in shared}


def test_protocols_stand_once():
    """Each of protocols.py is a name of one C declaration, or of none."""
    declared = [
        name
        for path in TWINS
        for name in re.findall(r"^ +((?:ETH|PROTO|ND)_\w+) =", (ROOT / path).read_text(), re.M)
    ]
    assert len(declared) == len(set(declared))
