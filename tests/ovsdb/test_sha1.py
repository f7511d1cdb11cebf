"""The record header with its own SHA-1 against hashlib's."""

from hashlib import sha1

from hypothesis import given
from hypothesis import strategies as st

from ovsdb.storage.sha1 import record

# Around the blocks of 64 bytes, and where OpenSSL takes over.
SIZES = st.one_of(st.integers(0, 300), st.integers(4000, 4200), st.integers(4096, 100_000))


@given(SIZES, st.binary(min_size=1, max_size=97))
def test_record_is_that_of_hashlib(size, pattern):
    json = (pattern * (size // len(pattern) + 1))[:size]
    text = json + b"\n"
    assert record(json) == b"OVSDB JSON %d %s\n%s" % (
        len(text),
        sha1(text).hexdigest().encode(),
        text,
    )
