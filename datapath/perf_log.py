"""Which iterations of workers are suspicious, and what is logged of them."""

import errno

import ovs.vlog

from datapath.ipc.perf_requests import KEPT, LogSettings, rows_of
from datapath.ipc.perf_table import ITERATIONS, history
from datapath.requests import EngineError
from pyvs.log_limit import LimitedLog

vlog = ovs.vlog.Vlog("pmd_perf")
_suspicions = LimitedLog(vlog, 600, 600)

MOST = KEPT - 2  # before and after one, together
MANY = 100  # rows that take long enough to be suspicious themselves
LIMIT = 1 << 32


def merged(settings, given):
    """Settings with those that a request gives."""
    if not isinstance(given, dict) or not set(given) <= set(LogSettings._fields):
        raise EngineError(errno.EINVAL, "no such settings of the log")
    for name, value in given.items():
        wanted = type(getattr(settings, name))
        if type(value) is not wanted or not 0 <= value < LIMIT:
            raise EngineError(errno.EINVAL, f"{name}: out of range")
    found = settings._replace(**given)
    before = min(found.before, MOST)
    return found._replace(before=before, after=min(found.after, MOST - before))


def tell(suspects, rows, frequency):
    """Logs a report.  True: it was a long one."""
    for row in reversed(rows_of(suspects)):
        us = row.cycles * 1_000_000 // frequency
        _suspicions.warn(
            f"Suspicious iteration (Excessive total cycles): iter={row.at} duration={us} us"
        )
    around = rows_of(rows)
    _suspicions.warn(
        lambda: f"Neighborhood of suspicious iteration:\n{history(around, ITERATIONS)}"
    )
    return len(around) > MANY
