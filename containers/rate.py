"""Rates as users write them: 100mbit, 1gbit, 64kbit, or a plain number of kilobits a second."""

import re

from .errors import BadRequest

_RATE = re.compile(r"(\d{1,9})(kbit|mbit|gbit|)\Z")
_KILOBITS = {"": 1, "kbit": 1, "mbit": 1000, "gbit": 1_000_000}
MOST = 2**31 - 1  # of Interface.ingress_policing_rate


def kilobits(text: str | None) -> int:
    """kbit/s; 0 for no text.  Raises BadRequest."""
    if not text:
        return 0
    found = _RATE.match(text.lower())
    value = int(found[1]) * _KILOBITS[found[2]] if found else 0
    if not 0 < value <= MOST:
        raise BadRequest(f"rate {text}: not like 100mbit, 1gbit or 64kbit")
    return value
