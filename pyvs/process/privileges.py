"""--user: a daemon that root starts becomes somebody else, with few of root's rights.

As in Open vSwitch's daemons: CAP_IPC_LOCK and CAP_NET_BIND_SERVICE stay, and those of NETWORK
for daemons that look after network devices.  They are ambient, so that a process that the
daemon starts has them too (capabilities(7)).
"""

import ctypes
import grp
import os
import pwd
import struct
from typing import NamedTuple

# <linux/capability.h>
CAP_NET_BIND_SERVICE, CAP_NET_BROADCAST, CAP_NET_ADMIN, CAP_NET_RAW = 10, 11, 12, 13
CAP_IPC_LOCK = 14
_VERSION_3 = 0x20080522
# <linux/prctl.h>
_PR_SET_KEEPCAPS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 8, 47, 2

ALWAYS = frozenset((CAP_IPC_LOCK, CAP_NET_BIND_SERVICE))
NETWORK = frozenset((CAP_NET_ADMIN, CAP_NET_BROADCAST, CAP_NET_RAW))

_libc = ctypes.CDLL(None, use_errno=True)


class User(NamedTuple):
    """Who a daemon is to be."""

    name: str
    uid: int
    gid: int


def parse(text: str) -> User:
    """USER, USER:GROUP or :GROUP; what is left out is as it is now.  Raises ValueError."""
    name, colon, group = text.partition(":")
    try:
        entry = pwd.getpwnam(name) if name else pwd.getpwuid(os.getuid())
    except KeyError:
        raise ValueError(f"Invalid --user option {text} (no such user)") from None
    gid = entry.pw_gid if name else os.getgid()
    if colon and group:
        try:
            gid = grp.getgrnam(group).gr_gid
        except KeyError:
            raise ValueError(f"Invalid --user option {text} (unknown group)") from None
    return User(entry.pw_name, entry.pw_uid, gid)


def become(user: User, more: frozenset[int] = frozenset()) -> None:
    """Be `user` from now on, with the capabilities ALWAYS and `more`.  Raises OSError."""
    keep = sum(1 << capability for capability in ALWAYS | more)
    _call("prctl", _PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.initgroups(user.name, user.gid)
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    header = struct.pack("=Ii", _VERSION_3, 0)
    # (effective, permitted, inheritable), for 32 capabilities each time
    data = struct.pack("=3I3I", keep, keep, keep, 0, 0, 0)
    _call("capset", header, data)
    for capability in sorted(ALWAYS | more):
        _call("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def _call(function: str, *arguments: int | bytes) -> None:
    words = [ctypes.c_ulong(each) if isinstance(each, int) else each for each in arguments]
    if getattr(_libc, function)(*words):
        code = ctypes.get_errno()
        raise OSError(code, f"{function}: {os.strerror(code)}")
