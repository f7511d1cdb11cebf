"""The daemons' clock: monotonic milliseconds, as an integer.

It is the `ovs` library's, so that time/stop and time/warp reach everything.
"""

import ovs.timeval


def msec() -> int:
    """Milliseconds of CLOCK_MONOTONIC."""
    return int(ovs.timeval.msec())
