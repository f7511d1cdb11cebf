"""The rate of a container's port: towards it by a discipline of QoS, from it by policing.

Bits per second, as tc(8), CNI's bandwidth plug-in and ovs-vswitchd.conf.db(5) (linux-htb) count;
ingress policing is in thousands of them.
"""

import re
from typing import NamedTuple

from .errors import BadRequest

# tc(8), "RATES": SI prefixes, and the binary ones with an i.
UNITS = {
    f"{prefix}{i}bit": (1024 if i else 1000) ** power
    for power, prefix in enumerate(("", "k", "m", "g"))
    for i in (("", "i") if prefix else ("",))
}
_RATE = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)([a-z]*)\Z")
LEAST, MOST = 1000, 10**12
# Bits of a burst: what TCP sends at once (a segment of 64 KiB before it is cut) must fit, twice;
# a policer that lets less than a quarter of a second's traffic pass at once holds TCP far below
# its rate (measured: an eighth, at three quarters of it; a twentieth, at a quarter).
LEAST_BURST = 2 * 8 * 65536
BURSTS_PER_SECOND = 4


class Rates(NamedTuple):
    """Bits per second, and bits that may come at once; None: as the line allows, or as suits."""

    towards: int | None = None  # the container
    away: int | None = None  # from the container
    towards_burst: int | None = None
    away_burst: int | None = None

    def policing(self) -> dict[str, int]:
        """Columns of the Interface."""
        if self.away is None:
            return {}
        burst = self.away_burst or max(self.away // BURSTS_PER_SECOND, LEAST_BURST)
        return {
            "ingress_policing_rate": max(self.away // 1000, 1),
            "ingress_policing_burst": max(burst // 1000, 1),
        }

    def discipline(self) -> dict[str, str]:
        """other_config of a QoS row of type linux-htb; {} for none."""
        return {} if self.towards is None else {"max-rate": str(self.towards)}

    def queue(self) -> dict[str, str]:
        """other_config of its queue 0."""
        return {} if self.towards_burst is None else {"burst": str(self.towards_burst)}


def parse(text: str) -> int:
    """Bits per second of a text as 100mbit; raises BadRequest."""
    found = _RATE.match(text.strip().lower())
    unit = UNITS.get(found[2] or "bit") if found else None
    if unit is None:
        raise BadRequest(f"option rate: {text} is not a number with one of {', '.join(UNITS)}")
    return check(int(float(found[1]) * unit))


def check(rate: int) -> int:
    """The same rate; raises BadRequest where a port cannot have it."""
    if not LEAST <= rate <= MOST:
        raise BadRequest(f"rate: {rate} bit/s is not in the range {LEAST} to {MOST}")
    return rate


def both(text: str | None) -> Rates:
    """The same rate in both directions; none for None."""
    return Rates() if text is None else Rates(parse(text), parse(text))
