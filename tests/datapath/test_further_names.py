"""What a further datapath may be called."""

import errno

import pytest

from datapath.further import Further
from datapath.requests import EngineError


@pytest.mark.parametrize(
    "name", ["", "a b", "x\ny", "x/y", "t@x", "\0", "\udc80", "x" * 16, "ä" * 8, None, 5, ["x"]]
)
def test_what_is_no_name(name):
    """Lists of them have one a line: a name of several lines is not several datapaths."""
    further = Further()
    with pytest.raises(EngineError) as refused:
        further.add(name, "dummy")
    assert refused.value.errno == errno.EINVAL and further.names() == []


@pytest.mark.parametrize("name", ["x", "br-0", "dp.1", "ä", "x" * 15])
def test_names(name):
    further = Further()
    try:
        further.add(name, "dummy")
        assert further.names() == [f"dummy@{name}"]
    finally:
        further.close()
