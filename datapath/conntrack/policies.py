"""Timeout policies: how long a connection is kept in each of its states, in seconds.

Names and defaults are those of Open vSwitch's userspace datapath (ovs-vswitchd.conf.db(5),
CT_Timeout_Policy).  UNUSED ones may be given, and mean something to other trackers only.
"""

DEFAULTS = {
    "tcp_syn_sent": 30,
    "tcp_syn_recv": 30,
    "tcp_established": 24 * 3600,
    "tcp_fin_wait": 15 * 60,
    "tcp_time_wait": 45,
    "tcp_close": 30,
    "udp_first": 60,
    "udp_single": 60,
    "udp_multiple": 30,
    "icmp_first": 60,
    "icmp_reply": 30,
}
UNUSED = ("tcp_close_wait", "tcp_last_ack", "tcp_syn_sent2", "tcp_retransmit", "tcp_unack")


def check(timeouts: dict[str, int]) -> None:
    """ValueError where they are not what a policy may have."""
    if not isinstance(timeouts, dict):
        raise ValueError("timeouts: names and seconds")
    for name, seconds in timeouts.items():
        if name not in DEFAULTS and name not in UNUSED:
            raise ValueError(f"{name}: no such timeout")
        if type(seconds) is not int or not 0 <= seconds < 1 << 32:
            raise ValueError(f"{name}={seconds}: not a number of seconds")
