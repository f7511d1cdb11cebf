"""The mirrors of a bridge: which bundles' packets they copy, and where to.

A mirror keeps its number, and its counters, as long as it is there: packets on their way round
through the datapath say by numbers which mirrors have them.
"""

from collections.abc import Hashable, Iterable
from typing import Any, NamedTuple

import ovs.vlog

from ofproto.ports import Ports
from ofproto.xlate.bridges.xmirror import MAX_MIRRORS, XMirror

vlog = ovs.vlog.Vlog("ofproto")


class MirrorSettings(NamedTuple):
    """Ports are keys of bundles."""

    key: Hashable
    name: str
    select_all: bool
    src: tuple[Any, ...]
    dst: tuple[Any, ...]
    vlans: tuple[int, ...]  # (): all
    output: Any  # None: output_vlan
    output_vlan: int
    snaplen: int  # 0: whole packets


class Mirrors:
    """`stale`: bundles came or went since set()."""

    def __init__(self, xbridge: Any, ports: Ports):
        self.stale = False
        self._xbridge = xbridge
        self._ports = ports
        self._settings: list[MirrorSettings] = []
        self._mirrors: dict[Hashable, XMirror] = {}
        self._numbers: dict[Hashable, int] = {}

    def set(self, settings: Iterable[MirrorSettings]) -> None:
        """Have these mirrors, as far as there is what they name."""
        wanted = list(settings)
        if wanted == self._settings and not (self.stale and wanted):
            return
        self.stale = False
        self._settings = wanted
        self._number()
        before, self._mirrors = self._mirrors, {}
        for each in wanted:
            if each.key in self._numbers and self._has_output(each):
                self._mirrors[each.key] = self._make(each, before.get(each.key))
        mirrors = sorted(self._mirrors.values(), key=lambda mirror: mirror.bit)
        for mirror in mirrors:
            for other in mirrors:
                mirror.shares_output_with(other)
        self._mark_bundles()
        self._xbridge.mirrors_set(mirrors)

    def _number(self) -> None:
        wanted = [each.key for each in self._settings]
        self._numbers = {key: n for key, n in self._numbers.items() if key in wanted}
        free = iter(sorted(set(range(MAX_MIRRORS)) - set(self._numbers.values())))
        for each in self._settings:
            if each.key not in self._numbers:
                number = next(free, None)
                if number is None:
                    vlog.warn(f"mirror {each.name}: a bridge has {MAX_MIRRORS} at most")
                else:
                    self._numbers[each.key] = number

    def _has_output(self, each: MirrorSettings) -> bool:
        return each.output is None or each.output in self._ports.bundles

    def _make(self, each: MirrorSettings, old: XMirror | None) -> XMirror:
        out = self._ports.bundles.get(each.output) if each.output is not None else None
        mirror = old or XMirror(each.name, self._numbers[each.key])
        mirror.set(out, each.output_vlan, each.vlans, each.snaplen)
        return mirror

    def _mark_bundles(self) -> None:
        """Tell each bundle which mirrors it is source, destination and output of."""
        for key, bundle in self._ports.bundles.items():
            src = dst = out = 0
            for each in self._settings:
                mirror = self._mirrors.get(each.key)
                if mirror is None:
                    continue
                src |= mirror.bit if each.select_all or key in each.src else 0
                dst |= mirror.bit if each.select_all or key in each.dst else 0
                out |= mirror.bit if each.output == key else 0
            bundle.mirror_src, bundle.mirror_dst, bundle.mirror_out = src, dst, out

    def counts(self) -> dict[Hashable, tuple[int, int]]:
        """Packets and bytes that each has copied, by key."""
        return {key: (each.n_packets, each.n_bytes) for key, each in self._mirrors.items()}
