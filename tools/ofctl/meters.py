"""Commands of pyvs-ofctl for meters.  They need OpenFlow 1.3."""

from ofproto.codec import messages as m
from ofproto.codec.match_text import TextError
from ofproto.codec.numbers import OF13
from ofproto.text.meter_text import NAMES, parse_id, parse_meter, parse_selection
from pyvs_tools.command import Fatal

from .flows import no_format
from .switch import dump


def _connect(settings, target):
    session = settings.connect(target, OF13)
    if session.version < OF13:
        raise Fatal(no_format("OXM-OpenFlow13,OXM-OpenFlow14,OXM-OpenFlow15", session))
    return session


def _parsed(parse, *words):
    try:
        return parse(*words)
    except TextError as error:
        raise Fatal(str(error)) from None


def _selected(text):
    """The meter of `meter=N`, or N alone; all where nothing is given."""
    if text is None:
        return m.OFPM_ALL
    if text in NAMES or text.isdecimal():
        return _parsed(parse_id, text)
    return _parsed(parse_selection, text)


def add_meter(settings, target, text):
    """add-meter SWITCH METER"""
    mod = _parsed(parse_meter, text)
    _connect(settings, target).tell(mod)


def mod_meter(settings, target, text):
    """mod-meter SWITCH METER"""
    mod = _parsed(parse_meter, text, m.METER_MODIFY)
    _connect(settings, target).tell(mod)


def del_meters(settings, target, text=None):
    """del-meters SWITCH [METER]: one, or all."""
    mod = m.MeterMod(m.METER_DELETE, 0, _selected(text))
    _connect(settings, target).tell(mod)


def dump_meters(settings, target, text=None):
    """dump-meters SWITCH [METER]"""
    request = m.MeterConfigRequest(_selected(text))
    dump(settings, _connect(settings, target), request)


def meter_stats(settings, target, text=None):
    """meter-stats SWITCH [METER]"""
    request = m.MeterStatsRequest(_selected(text))
    dump(settings, _connect(settings, target), request)


def meter_features(settings, target):
    """meter-features SWITCH"""
    dump(settings, _connect(settings, target), m.MeterFeaturesRequest())


del_meter, dump_meter = del_meters, dump_meters
