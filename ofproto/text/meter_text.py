"""Meters as text: what ovs-ofctl(8) has in add-meter and prints in dump-meters."""

from collections.abc import Iterator
from typing import Any

from ofproto.codec import messages as m
from ofproto.codec.instructions import OFPM_MAX
from ofproto.codec.match_text import TextError

OFPM_SLOWPATH, OFPM_CONTROLLER = 0xFFFFFFFD, 0xFFFFFFFE
NAMES = {"all": m.OFPM_ALL, "controller": OFPM_CONTROLLER, "slowpath": OFPM_SLOWPATH}
_WORDS = {number: name for name, number in NAMES.items()}
FLAGS = {"kbps": 1, "pktps": 2, "burst": 4, "stats": 8}
BURST = FLAGS["burst"]
BAND_TYPES = {"drop": m.BAND_DROP, "dscp_remark": m.BAND_DSCP_REMARK}
_SEPARATORS = ", \t\r\n"


def format_id(meter_id: int) -> str:
    return _WORDS.get(meter_id, str(meter_id))


def _number(text: str, bits: int = 32, name: str = "") -> int:
    try:
        found = int(text, 0)
    except ValueError:
        found = -1
    if not 0 <= found < 1 << bits:
        raise TextError(f"{name and name + ': '}invalid numeric format {text}")
    return found


def parse_id(text: str, name: str = "") -> int:
    """A meter's number or name.  Raises TextError, which says `name` of a number's field."""
    if text in NAMES:
        return NAMES[text]
    found = _number(text, 64, name)
    if not 0 < found <= OFPM_MAX:
        raise TextError("invalid value for meter")
    return found


def _words(text: str) -> Iterator[tuple[str, str | None]]:
    """(name, value or None) of words that commas or white space separate."""
    for character in _SEPARATORS[1:]:
        text = text.replace(character, ",")
    for word in filter(None, text.split(",")):
        name, equals, value = word.partition("=")
        yield name, value if equals else None


def _split(text: str) -> tuple[str, str | None]:
    """What stands before `bands=`, and what behind it."""
    for word in ("bands=", "band="):
        head, found, bands = text.partition(word)
        if found:
            return head, bands
    return text, None


def _parse_head(text: str) -> m.MeterMod:
    mod = m.MeterMod(m.METER_ADD, 0, 0)
    for name, value in _words(text):
        if name in FLAGS:
            mod.flags |= FLAGS[name]
        elif not value:
            raise TextError(f"field {name} missing value")
        elif name == "meter":
            mod.meter_id = parse_id(value, name)
        else:
            raise TextError(f"unknown keyword {name}")
    if not mod.meter_id:
        raise TextError("must specify 'meter'")
    return mod


def parse_selection(text: str) -> int:
    """The meter that `meter=N` names.  Raises TextError."""
    return _parse_head(text).meter_id


def parse_meter(text: str, command: int = m.METER_ADD) -> m.MeterMod:
    """A meter with its bands.  Raises TextError."""
    head, bands = _split(text)
    if bands is None:
        raise TextError("must specify bands")
    mod = _parse_head(head)
    if not mod.flags:
        raise TextError("meter must specify either 'kbps' or 'pktps'")
    mod.command = command
    mod.bands = _parse_bands(bands)
    if not mod.bands:
        raise TextError("meter must have bands")
    for band in mod.bands:
        _check_band(band, mod.flags)
    return mod


def _parse_bands(text: str) -> list[Any]:
    bands: list[Any] = []
    for name, value in _words(text):
        if not value:
            raise TextError(f"field {name} missing value")
        if name == "type":
            if value not in BAND_TYPES:
                raise TextError(f"field type unknown value {value}")
            bands.append(m.Band(BAND_TYPES[value]))
        elif not bands:
            raise TextError("band must start with the 'type' keyword")
        elif name == "rate":
            bands[-1].rate = _number(value, 32, name)
        elif name == "burst_size":
            bands[-1].burst = _number(value, 32, name)
        elif name == "prec_level":
            bands[-1].prec_level = _number(value, 8, name)
        else:
            raise TextError(f"unknown keyword {name}")
    return bands


def _check_band(band: Any, flags: int) -> None:
    if band.type == m.BAND_DSCP_REMARK and not band.prec_level:
        raise TextError("'dscp_remark' band must have 'prec_level'")
    if band.type != m.BAND_DSCP_REMARK and band.prec_level:
        raise TextError("Only 'dscp_remark' band may have 'prec_level'")
    if not band.rate:
        raise TextError("band must have 'rate'")
    if flags & BURST and not band.burst:
        raise TextError("band must have 'burst_size' when 'burst' flag is set")
    if not flags & BURST and band.burst:
        raise TextError("band may have 'burst_size' only when 'burst' flag is set")


def format_meter(meter: Any) -> str:
    """Of a MeterConfig or a MeterMod; a line for each band."""
    flags = "".join(f"{name} " for name, bit in FLAGS.items() if meter.flags & bit)
    if unknown := meter.flags & ~sum(FLAGS.values()):
        flags += f"flags:{unknown:#x} "
    text = f"meter={format_id(meter.meter_id)} {flags}bands=\n"
    names = {number: name for name, number in BAND_TYPES.items()}
    for band in meter.bands:
        burst = f" burst_size={band.burst}" if meter.flags & BURST else ""
        level = f" prec_level={band.prec_level}" if band.type == m.BAND_DSCP_REMARK else ""
        text += f"type={names[band.type]} rate={band.rate}{burst}{level}\n"
    return text
