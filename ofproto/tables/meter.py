"""The meters of a bridge: what METER_MOD does, and which flows go through which.

Sources: OpenFlow 1.3.5 5.7, 6.4 and 7.3.4.4; where it leaves open what is refused, and in which
order, as Open vSwitch has it.
"""

from collections.abc import Iterable
from typing import Any

import ovs.vlog

from datapath.actions.meter import FEATURES
from datapath.ipc.dpif import DpifError
from ofproto.codec import messages
from ofproto.codec.errors import OFError
from ofproto.codec.instructions import OFPM_MAX
from ofproto.codec.instructions import Meter as MeterInstruction
from ofproto.codec.messages import BAND_DROP, BAND_DSCP_REMARK, METER_ADD, METER_MODIFY, OFPM_ALL
from ofproto.codec.numbers import OFPRR_METER_DELETE
from ofproto.flows.odp.meters import DatapathMeters
from ofproto.text.meter_text import OFPM_CONTROLLER, OFPM_SLOWPATH, format_id

vlog = ovs.vlog.Vlog("meter")

# Not for flows: what packets to the controllers, and through the slow path, have to pass.
VIRTUAL = (OFPM_SLOWPATH, OFPM_CONTROLLER)
KBPS, PKTPS = 1, 2
BANDS = (BAND_DROP, BAND_DSCP_REMARK)


class Meter:
    """`number` in the datapath, None: not there; `rules`: those that go through it."""

    __slots__ = ("bands", "created", "flags", "meter_id", "number", "rules")

    def __init__(self, mod: Any, now: int):
        self.meter_id = mod.meter_id
        self.number: int | None = None
        self.created = now
        self.rules: set[Any] = set()
        self.configure(mod)

    def configure(self, mod: Any) -> None:
        self.flags = mod.flags
        self.bands = list(mod.bands)

    @property
    def config(self) -> Any:
        return messages.MeterConfig(self.meter_id, self.flags, list(self.bands))

    def stats(self, info: Any, now: int) -> Any:
        """messages.MeterStats; `info`: the datapath's MeterInfo, None when it cannot tell."""
        age = max(0, now - self.created)
        came = (0, 0) if info is None else (info.packets, info.bytes)
        dropped = [(0, 0)] * len(self.bands) if info is None else list(info.dropped)
        return messages.MeterStats(
            self.meter_id, len(self.rules), *came, age // 1000, age % 1000 * 1_000_000, dropped
        )


def meter_of(instructions: Any) -> int | None:
    """The meter that a flow's instructions begin with: where there is one, it is the first."""
    if instructions and type(instructions[0]) is MeterInstruction:
        return instructions[0].meter
    return None


def _of_datapath(bands: Any) -> list[tuple[int, ...]]:
    return [
        (each.rate, each.burst, *([each.prec_level] if each.type == BAND_DSCP_REMARK else []))
        for each in bands
    ]


class MeterTable:
    """Of one bridge; the meters themselves are in the datapath.

    Before connect() they are only remembered: a journal is replayed without the datapath seeing
    what was changed again later.  `xbridge.meters` follows: OpenFlow number -> datapath number,
    for translation.
    """

    def __init__(self, xbridge: Any):
        self.xbridge = xbridge
        self.datapath: DatapathMeters | None = None
        self.by_id: dict[int, Meter] = {}

    def connect(self, datapath: DatapathMeters) -> None:
        """From now on the meters are in the datapath."""
        self.datapath = datapath
        for meter in self.by_id.values():
            try:
                self._put(meter)
            except OFError as error:
                vlog.warn(f"{self.xbridge.name}: meter {meter.meter_id} cannot be had ({error})")

    def _put(self, meter: Meter) -> None:
        """Make it one of the datapath's.  Raises OFError."""
        if self.datapath is None:
            return
        owner = f"{self.xbridge.name}:{format_id(meter.meter_id)}"
        try:
            meter.number = self.datapath.add(owner, meter.flags, _of_datapath(meter.bands))
        except DpifError as error:
            raise OFError("OFPMMFC_OUT_OF_METERS", str(error)) from None
        if meter.number is None:
            raise OFError("OFPMMFC_OUT_OF_METERS")
        self.xbridge.meters[meter.meter_id] = meter.number
        self.xbridge.touch()

    def __contains__(self, meter_id: int) -> bool:
        return meter_id in self.by_id

    def __len__(self) -> int:
        return len(self.by_id)

    # --- flows

    def rule_added(self, rule: Any) -> None:
        """A rule is in its table, or has other instructions."""
        meter = self._meter_of(rule)
        if meter is not None:
            meter.rules.add(rule)

    def rule_gone(self, rule: Any) -> None:
        """A rule is out of its table, or will have other instructions."""
        meter = self._meter_of(rule)
        if meter is not None:
            meter.rules.discard(rule)

    def _meter_of(self, rule: Any) -> Meter | None:
        """None of those whose instructions are still as they came has one (tables/mod_plan)."""
        if not self.by_id or rule.raw is not None:
            return None
        return self.by_id.get(meter_of(rule.actions))

    # --- METER_MOD

    def add(self, mod: Any, now: int) -> None:
        """Raises OFError."""
        _check(mod)
        if mod.meter_id in self.by_id:
            raise OFError("OFPMMFC_METER_EXISTS", f"meter {mod.meter_id}")
        _check_bands(mod)
        meter = Meter(mod, now)
        self._put(meter)
        self.by_id[mod.meter_id] = meter

    def modify(self, mod: Any, _now: int) -> None:
        """Raises OFError; then nothing is changed."""
        _check(mod)
        meter = self.by_id.get(mod.meter_id)
        if meter is None:
            raise OFError("OFPMMFC_UNKNOWN_METER", f"meter {mod.meter_id}")
        _check_bands(mod)
        if self.datapath is not None and meter.number is not None:
            try:
                self.datapath.change(meter.number, mod.flags, _of_datapath(mod.bands))
            except DpifError as error:
                raise OFError("OFPMMFC_OUT_OF_METERS", str(error)) from None
        meter.configure(mod)

    def doomed(self, meter_id: int) -> list[Meter]:
        """The meters that a deletion means: their flows go first, then they."""
        if meter_id == OFPM_ALL:
            return list(self.by_id.values())
        return [self.by_id[meter_id]] if meter_id in self.by_id else []

    def delete(self, meters: Iterable[Meter], now: int) -> None:
        """Those that are there."""
        for meter in meters:
            if self.by_id.get(meter.meter_id) is not meter:
                continue
            del self.by_id[meter.meter_id]
            if self.datapath is not None and meter.number is not None:
                del self.xbridge.meters[meter.meter_id]
                self.datapath.remove(meter.number, now)
        self.xbridge.touch()

    def clear(self, now: int) -> None:
        """Delete all of them; their flows are gone already."""
        self.delete(list(self.by_id.values()), now)

    # --- what peers ask for

    def select(self, meter_id: int) -> list[Meter]:
        """One meter, or all by number.  Raises OFError."""
        if meter_id == OFPM_ALL:
            return [self.by_id[number] for number in sorted(self.by_id)]
        if meter_id not in self.by_id:
            raise OFError("OFPMMFC_UNKNOWN_METER", f"meter {meter_id}")
        return [self.by_id[meter_id]]

    def stats(self, meter_id: int, now: int) -> list[Any]:
        """messages.MeterStats of one, or of all.  Raises OFError."""
        meters = self.select(meter_id)
        numbers = [each.number for each in meters if each.number is not None]
        counted = self.datapath.counters(numbers) if self.datapath and numbers else {}
        return [each.stats(counted.get(each.number), now) for each in meters]


def meter_mod(tables: Any, mod: Any, now: int) -> None:
    """Execute a messages.MeterMod on the meters of FlowTables.  Raises OFError; then nothing is
    changed."""
    meters = tables.meters
    if mod.command == METER_ADD:
        meters.add(mod, now)
    elif mod.command == METER_MODIFY:
        meters.modify(mod, now)
    else:
        doomed = meters.doomed(mod.meter_id)
        rules = [rule for meter in doomed for rule in meter.rules]

        by_id = {meter.meter_id: meter for meter in doomed}

        def belongs(rule: Any) -> bool:
            meter = by_id.get(meter_of(rule.actions))
            return meter is not None and rule in meter.rules

        tables.remove_all(rules, OFPRR_METER_DELETE, belongs, lambda: meters.delete(doomed, now))


def features() -> Any:
    """The METER_FEATURES reply."""
    return messages.MeterFeaturesReply(
        max_meter=FEATURES["max_meters"],
        band_types=sum(1 << kind for kind in BANDS),
        capabilities=FEATURES["flags"],
        max_bands=FEATURES["max_bands"],
        max_color=0,
    )


def _check(mod: Any) -> None:
    """What is refused whatever meters there are."""
    if not 0 < mod.meter_id <= OFPM_MAX and mod.meter_id not in VIRTUAL:
        raise OFError("OFPMMFC_INVALID_METER", f"meter {mod.meter_id}")
    if len(mod.bands) > FEATURES["max_bands"]:
        raise OFError("OFPMMFC_OUT_OF_BANDS", f"{len(mod.bands)} bands")


def _check_bands(mod: Any) -> None:
    if not mod.flags & (KBPS | PKTPS):
        raise OFError("OFPMMFC_BAD_FLAGS", "neither kbps nor pktps")
    if not mod.bands:
        raise OFError("OFPMMFC_OUT_OF_BANDS", "no bands")
    if not all(band.rate for band in mod.bands):
        raise OFError("OFPMMFC_BAD_RATE", "a band with rate 0")
    if mod.flags & ~FEATURES["flags"]:
        raise OFError("OFPMMFC_BAD_FLAGS", f"flags {mod.flags:#x}")
    for band in mod.bands:
        if band.type not in BANDS:
            raise OFError("OFPMMFC_BAD_BAND", f"band type {band.type}")
        if band.type == BAND_DSCP_REMARK and not band.prec_level:
            raise OFError("OFPMMFC_BAD_BAND_VALUE", "prec_level 0")
