"""Commands of pyvs-ofctl for tunnel options."""

import re

from ofproto.codec import messages as m
from ofproto.codec.messages.nx import TLV_ADD, TLV_CLEAR, TLV_DELETE
from ofproto.codec.numbers import OF10
from pyvs_tools.command import Fatal

from .flows import set_flow_format
from .switch import dump

_MAP = re.compile(
    r"\{class=(?P<option_class>\w+),type=(?P<option_type>\w+),len=(?P<length>\w+)\}"
    r"->tun_metadata(?P<index>\d+)"
)
_MOST = {"option_class": 0xFFFF, "option_type": 0xFF, "length": 0xFF, "index": 0xFFFF}


def parse_maps(text: str) -> list[m.TlvMap]:
    """`{class=C,type=T,len=L}->tun_metadataN`, several with commas between.  Raises Fatal."""
    found, at = [], 0
    while at < len(text):
        match = _MAP.match(text, at)
        if match is None:
            raise Fatal("invalid tlv mapping")
        found.append(m.TlvMap(**{name: _number(name, match[name]) for name in _MOST}))
        at = match.end()
        if at < len(text):
            if text[at] not in ", ":
                raise Fatal("invalid tlv mapping")
            at += 1
    return found


def _number(name, text):
    try:
        value = int(text, 0)
    except ValueError:
        raise Fatal("invalid tlv mapping") from None
    if not 0 <= value <= _MOST[name]:
        raise Fatal("invalid tlv mapping")
    return value


def _tell(settings, target, mod):
    """In 1.0 ovs-ofctl asks for NXM first, which is what says the fields."""
    session = settings.connect(target)
    if session.version == OF10:
        set_flow_format(session, True, False)
    session.tell(mod)


def add_tlv_map(settings, target, text):
    """add-tlv-map SWITCH MAP[,MAP]..."""
    _tell(settings, target, m.TlvTableMod(TLV_ADD, parse_maps(text)))


def del_tlv_map(settings, target, text=None):
    """del-tlv-map SWITCH [MAP[,MAP]...]"""
    maps = [] if text is None else parse_maps(text)
    command = TLV_CLEAR if text is None else TLV_DELETE
    _tell(settings, target, m.TlvTableMod(command, maps))


def dump_tlv_map(settings, target):
    """dump-tlv-map SWITCH"""
    dump(settings, settings.connect(target), m.TlvTableRequest())
