"""The QoS of a bridge's ports: disciplines of devices, DSCP of queues, ingress policing.

What is asked for is compared with what was last done for the same device, so that a reconciliation
that has nothing to do with QoS costs nothing.  A discipline of many queues is made in slices.
"""

import time
from collections.abc import Generator
from typing import Any

import ovs.vlog

from pyvs import clock, containment
from pyvs.once import Once
from vswitchd.database.config import InterfaceConfig, PortConfig, QosRow
from vswitchd.devices.iface import Iface
from vswitchd.devices.links import Link, Links
from vswitchd.qos import tc

vlog = ovs.vlog.Vlog("bridge")

KBPS, PKTPS, BURST = 0x1, 0x2, 0x4  # OFPMF_*
DEFAULT_BURST = 8000  # kbit
DEFAULT_PACKETS_BURST = 16  # 1000 packets
Given = tuple[str, dict[str, str], tc.Queues]  # type, options, queues
NO_QOS: Given = ("", {}, ())
MOST = 0xFFFFFFFF  # of a policer's rates and bursts
SLICE = 0.01  # s
WAIT = 20  # ms, from one look to the next whether what is needed is there
COUNTERS_AGE = 0.1  # s, that the kernel is not asked again


def _queues(row: QosRow) -> tc.Queues:
    """Those that a discipline has room for.  Where it has queues, there is queue 0, configured or
    not, for packets that are sent to none (ovs-vswitchd.conf.db(5)): the kernel lets them pass
    unshaped.
    """
    queues = tuple((n, queue.other_config) for n, queue in row.queues if n < tc.MAX_QUEUE)
    if row.type in tc.CLASSFUL and not any(n == 0 for n, _ in queues):
        return ((0, {}), *queues)
    return queues


def _meter(unit: int, rate: int, burst: int) -> tuple[int, list[tuple[int, ...]]]:
    return unit | BURST, [(min(rate, MOST), min(burst, MOST))]


class PortsQos:
    def __init__(self, bridge: str, ofproto: Any):
        self._bridge = bridge
        self._ofproto = ofproto
        self._done: dict[str, tuple[int, tuple]] = {}  # device -> ifindex, what it was given
        self._told = Once()
        self.faulty: set[str] = set()  # devices with whose discipline a fault of ours was met
        self._work: dict[str, Generator[None, None, str | None]] = {}  # device -> tc.replace()
        self._devices: dict[str, tc.Device] = {}  # that have what they were given, or are about to
        self._counted: dict[str, tuple[float, dict[int, dict[str, int]]]] = {}
        ofproto.queue_counters = self.counters

    def configure(self, port: PortConfig, members: list[Iface], links: Links) -> None:
        given, numbers, marks = NO_QOS, None, None
        if port.qos is not None:
            queues = _queues(port.qos)
            given = (port.qos.type, port.qos.other_config, queues)
            numbers = tuple(n for n, _ in queues)
            marks = {n: row.dscp for n, row in port.qos.queues if row.dscp is not None} or None
            if more := sum(n >= tc.MAX_QUEUE for n, _ in port.qos.queues):
                self._tell(f"{port.name}: {more} queues from {tc.MAX_QUEUE} on are left out")
        for iface in members:
            if iface.ofp_port is None:
                continue
            link = links.get(iface.device)
            if link is not None:
                self._shape(iface, link, given)
            self._ofproto.set_queues(iface.ofp_port, marks, numbers)
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

    def _shape(self, iface: Iface, link: Link, given: Given) -> None:
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
        """Of two kinds of policing both hold: what is over one of them goes."""
        rate, burst, packets, packets_burst = config.policing
        wanted = {}
        if rate:
            wanted["police"] = _meter(KBPS, rate, burst or DEFAULT_BURST)
        if packets:
            burst = packets_burst or DEFAULT_PACKETS_BURST
            wanted["police-pkts"] = _meter(PKTPS, packets * 1000, burst * 1000)
        self._ofproto.set_policers(iface.ofp_port, wanted)

    def forget(self, iface: Iface) -> None:
        """The interface is no port any more: its device is as it was."""
        index, given = self._done.pop(iface.name, (0, NO_QOS))
        self._work.pop(iface.name, None)
        self.faulty.discard(iface.name)
        self._counted.pop(iface.name, None)
        self._devices.pop(iface.name, None)
        if given[0] not in ("", tc.UNTOUCHED):
            tc.clear(index)

    def given(self, name: str) -> Given:
        """Type, options and queues that a device was given; "": none."""
        return self._done.get(name, (0, NO_QOS))[1]

    def shown(self, name: str) -> tuple[str, dict[str, Any], tuple]:
        """The same of a device that has its discipline, or is about to, as it came out: made when
        it is asked for, since there may be 61,440 queues."""
        device = self._devices.get(name)
        return NO_QOS if device is None else tc.effective(device, *self.given(name))

    def counters(self, name: str) -> Generator[str, None, dict[int, dict[str, int]]]:
        """Of a device's queues, by number, in steps."""
        index, given = self._done.get(name, (0, NO_QOS))
        if given[0] not in tc.CLASSFUL or not tc.is_ready():
            return {}
        when, known = self._counted.get(name, (0.0, {}))
        if time.monotonic() >= when + COUNTERS_AGE:  # many may ask
            known = yield from tc.counters(index)
            self._counted[name] = time.monotonic(), known
        return known

    def _tell(self, text: str) -> None:
        if self._told.is_new(text):
            vlog.warn(text)
