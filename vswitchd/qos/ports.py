"""The QoS of a bridge's ports: disciplines of devices, DSCP of queues, ingress policing.

What is asked for is compared with what was last done for the same device, so that a reconciliation
that has nothing to do with QoS costs nothing.  A discipline of many queues is made in slices.
"""

import time
from collections.abc import Generator
from typing import Any

import ovs.vlog

from pyvs import clock, containment
from vswitchd.database.config import InterfaceConfig, PortConfig, QosRow
from vswitchd.devices.iface import Iface
from vswitchd.devices.links import Link, Links
from vswitchd.qos import tc

vlog = ovs.vlog.Vlog("bridge")

KBPS, PKTPS, BURST = 0x1, 0x2, 0x4  # OFPMF_*
DEFAULT_BURST = 8000  # kbit, and as many packets
NO_QOS = ("", {}, ())
MOST = 0xFFFFFFFF  # of a policer's rates and bursts
SLICE = 0.01  # s
WAIT = 20  # ms, from one look to the next whether what is needed is there
COUNTERS_AGE = 0.1  # s, that the kernel is not asked again


def _queues(row: QosRow) -> tuple[tuple[int, dict[str, str]], ...]:
    """Numbers and options.  Where a discipline has queues, there is queue 0, configured or not, for
    packets that are sent to none (ovs-vswitchd.conf.db(5)): the kernel lets them pass unshaped.
    """
    queues = tuple((n, queue.other_config) for n, queue in row.queues)
    if row.type in tc.CLASSFUL and not any(n == 0 for n, _ in queues):
        return ((0, {}), *queues)
    return queues


class PortsQos:
    def __init__(self, bridge: str, ofproto: Any):
        self._bridge = bridge
        self._ofproto = ofproto
        self._done: dict[str, tuple[int, tuple]] = {}  # device -> ifindex, what it was given
        self._told: set[str] = set()
        self.faulty: set[str] = set()  # devices with whose discipline a fault of ours was met
        self._work: dict[str, Generator[None, None, str | None]] = {}  # device -> tc.replace()
        self._devices: dict[str, tc.Device] = {}  # that have what they were given, or are about to
        self._counted: dict[str, tuple[float, dict[int, dict[str, int]]]] = {}
        ofproto.queue_counters = self.counters

    def configure(self, port: PortConfig, members: list[Iface], links: Links) -> None:
        for iface in members:
            if iface.ofp_port is None:
                continue
            link = links.get(iface.name)
            if link is not None:
                self._shape(iface, link, port.qos)
            marks = {n: row.dscp for n, row in port.qos.queues} if port.qos else {}
            wanted = {n: dscp for n, dscp in marks.items() if dscp is not None} or None
            queues = tuple(n for n, _ in _queues(port.qos)) if port.qos else None
            self._ofproto.set_queues(iface.ofp_port, wanted, queues)
            self._police(iface, iface.config)
        self.run()

    def run(self) -> None:
        """Go on with what is not done yet, for a slice."""
        end = time.monotonic() + SLICE
        while self._work and tc.is_ready() and time.monotonic() < end:
            name, work = next(iter(self._work.items()))
            try:
                next(work)
            except StopIteration as done:
                del self._work[name]
                if done.value is not None:
                    self._devices.pop(name, None)
                    self._tell(f"{name}: QoS {self.given(name)[0]} failed ({done.value})")
            except Exception:
                containment.caught("queueing discipline", f"of {name}")
                del self._work[name]
                self._devices.pop(name, None)
                self.faulty.add(name)

    def next_run(self) -> int | None:
        """When run() has something to do, in ms."""
        if not self._work:
            return None
        return clock.msec() + (0 if tc.is_ready() else WAIT)

    def _shape(self, iface: Iface, link: Link, row: QosRow | None) -> None:
        given = NO_QOS
        if row is not None:
            given = (row.type, row.other_config, _queues(row))
        index, before = self._done.get(iface.name, (link.ifindex, NO_QOS))
        if index != link.ifindex:
            before = NO_QOS  # another device, which has nothing yet
        if given == before and iface.name not in self.faulty:
            return
        self._done[iface.name] = (link.ifindex, given)
        self._work.pop(iface.name, None)
        self._devices.pop(iface.name, None)
        self.faulty.discard(iface.name)
        if given[0] == tc.UNTOUCHED:
            return
        if given[0] and given[0] not in tc.TYPES:
            self._tell(f"{iface.name}: unknown QoS type {given[0]}")
            return
        speed = iface.link_mode.speed if iface.link_mode is not None else None
        device = tc.Device(link.ifindex, link.mtu, speed)
        if given[0]:
            self._devices[iface.name] = device
        self._work[iface.name] = tc.replace(device, *given)

    def _police(self, iface: Iface, config: InterfaceConfig) -> None:
        rate, burst, packets, packets_burst = config.policing
        wanted = None
        if rate:
            wanted = (KBPS | BURST, [(min(rate, MOST), min(burst or DEFAULT_BURST, MOST))])
            if packets:
                self._tell(f"{iface.name}: of two kinds of policing, the one by kbit/s is done")
        elif packets:
            rates = (packets * 1000, (packets_burst or 16) * 1000)
            wanted = (PKTPS | BURST, [tuple(min(each, MOST) for each in rates)])
        self._ofproto.set_policer(iface.ofp_port, wanted)

    def forget(self, iface: Iface) -> None:
        """The interface is no port any more: its device is as it was."""
        index, given = self._done.pop(iface.name, (0, NO_QOS))
        self._work.pop(iface.name, None)
        self.faulty.discard(iface.name)
        self._counted.pop(iface.name, None)
        self._devices.pop(iface.name, None)
        if given[0] not in ("", tc.UNTOUCHED):
            tc.clear(index)

    def given(self, name: str) -> tuple[str, dict[str, str], tuple]:
        """Type, options and queues that a device was given; "": none."""
        return self._done.get(name, (0, NO_QOS))[1]

    def shown(self, name: str) -> tuple[str, dict[str, Any], tuple]:
        """The same of a device that has its discipline, or is about to, as it came out: made when
        it is asked for, since there may be 61,440 queues."""
        device = self._devices.get(name)
        return NO_QOS if device is None else tc.effective(device, *self.given(name))

    def counters(self, name: str) -> dict[int, dict[str, int]]:
        """Of a device's queues, by number."""
        index, given = self._done.get(name, (0, NO_QOS))
        if given[0] not in tc.CLASSFUL or not tc.is_ready():
            return {}
        when, known = self._counted.get(name, (0.0, {}))
        if time.monotonic() >= when + COUNTERS_AGE:  # many may ask
            known = tc.counters(index)
            self._counted[name] = time.monotonic(), known
        return known

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            vlog.warn(text)
