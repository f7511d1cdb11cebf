"""What a switch holds of the machine: memory, descriptors, maps and programs of BPF, qdiscs, links.

BPF's are known by the kernel's ids: those of our processes' descriptors (/proc/PID/fdinfo) and of
the classifiers on our devices.  Others on the machine have their own.
"""

import ctypes
import errno
import json
import os
import platform
import re
import sys
from pathlib import Path
from typing import NamedTuple

from datapath.bpf.syscall import NUMBERS
from tests.daemons import DAEMONS

_GET_FD_BY_ID = {"prog": 13, "map": 14}  # commands of bpf(2)
_libc = ctypes.CDLL(None, use_errno=True)


class Holdings(NamedTuple):
    """`memory`: KiB resident and `descriptors`, of each daemon."""

    memory: dict[str, int]
    descriptors: dict[str, int]
    bpf: frozenset[tuple[str, int]]  # (prog or map, id)

    def text(self):
        each = (f"{name} {self.memory[name]} KiB, {self.descriptors[name]} fds" for name in DAEMONS)
        kinds = [kind for kind, _ in self.bpf]
        return f"{'; '.join(each)}; {kinds.count('prog')} programs, {kinds.count('map')} maps"


def _resident(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


def _of_descriptors(pid):
    for path in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            text = path.read_text()
        except OSError:
            continue
        for kind, number in re.findall(r"^(prog|map)_id:\s+(\d+)", text, re.MULTILINE):
            yield kind, int(number)


def _of_devices(host):
    for link in json.loads(host.run("ip", "-j", "link")):
        text = host.run("tc", "filter", "show", "dev", link["ifname"], "ingress", check=False)
        for number in re.findall(r"\bid (\d+)", text):
            yield "prog", int(number)


def held(switch):
    pids = {name: switch.pid(name) for name in DAEMONS}
    return Holdings(
        {name: _resident(pid) for name, pid in pids.items()},
        {name: len(os.listdir(f"/proc/{pid}/fd")) for name, pid in pids.items()},
        frozenset(each for pid in pids.values() for each in _of_descriptors(pid))
        | frozenset(_of_devices(switch.host)),
    )


def exists(kind, number):
    """Whether the kernel still has this map or program."""
    attributes = ctypes.create_string_buffer(number.to_bytes(4, sys.byteorder), 128)
    call = NUMBERS[platform.machine()]
    fd = _libc.syscall(call, _GET_FD_BY_ID[kind], attributes, 128)
    if fd >= 0:
        os.close(fd)
    elif ctypes.get_errno() != errno.ENOENT:
        raise OSError(ctypes.get_errno(), f"bpf(2) does not tell of {kind} {number}")
    return fd >= 0


def left(switch, bpf, links):
    """What is there after pyvs-ctl stop that was not there before its start."""
    now = {link["ifname"] for link in json.loads(switch.host.run("ip", "-j", "link"))}
    qdiscs = switch.host.run("tc", "qdisc", "show")
    return {
        "bpf": sorted(each for each in bpf if exists(*each)),
        "links": sorted(now - links),
        "qdiscs": [line for line in qdiscs.splitlines() if "noqueue" not in line],
    }
