"""What actions say of their size before they are encoded."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ofproto.codec.actions.set import RegLoad, SetField, _runs
from ofproto.codec.errors import OFError
from ofproto.codec.fields import FIELDS
from ofproto.codec.instructions import ApplyActions
from ofproto.codec.numbers import OF10, OF15
from ofproto.text import flow_text
from tests.ofproto.action_samples import FLOWS

VERSIONS = range(OF10, OF15 + 1)


def size(action, version):
    try:
        return len(action.encode(version))
    except OFError:  # it cannot say it
        return 0


def test_no_form_is_larger_than_the_most():
    found = set()
    for match, actions in FLOWS:
        text = f"{match}{',' if match else ''}actions={actions}"
        for each in flow_text.parse_flow(text).instructions:
            for action in each.actions if isinstance(each, ApplyActions) else ():
                most = action.most_bytes()
                if most is not None:
                    found.add(type(action).__name__)
                    assert max(size(action, version) for version in VERSIONS) <= most
    assert found >= {"Output", "RegLoad"}


def test_loads_of_all_fields():
    for field in FIELDS:
        for start in {0, field.n_bits - 1, field.n_bits // 2}:
            load = RegLoad(field, start, min(64, field.n_bits - start), 1)
            if field.writable and load.most_bytes() is not None:
                assert max(size(load, version) for version in VERSIONS) <= load.most_bytes()


@given(
    st.integers(0, (1 << 128) - 1)
    | st.sets(st.integers(0, 127)).map(lambda s: sum(1 << i for i in s))
)
def test_runs_of_ones(mask):
    """They are apart or 64 long, in order, and make up the mask."""
    runs = _runs(mask)
    assert sum((1 << n) - 1 << start for start, n in runs) == mask
    for (start, n), (following, _n) in pairwise(runs):
        assert following > start + n or (following == start + n and n == 64)
    assert all(0 < n <= 64 for _start, n in runs)


def test_a_masked_set_becomes_a_load_for_each_run():
    [field] = [each for each in FIELDS if each.name == "xxreg0"]
    mask = int("01" * 64, 2)
    assert len(SetField(field, 0, mask).encode(OF10)) == 64 * 24
