"""A short soak; the long ones are `python -m tests.soak`."""

import pytest

from tests.datapath.bpf.test_instructions import needs_bpf
from tests.soak import soak, turnover

pytestmark = [pytest.mark.system, pytest.mark.alone, needs_bpf]


def test_known_flows_do_not_notice_kills_and_nothing_is_left():
    lines = []
    soak.soak(6, turnover.Length(rounds=2), 1, lines.append)
    assert any(line.startswith("after stop nothing") for line in lines)
