"""Commands of pyvs-ofctl for tunnel options."""

import re

from ofproto.codec import messages as m
from ofproto.codec.messages.nx import TLV_ADD, TLV_CLEAR, TLV_DELETE
from pyvs_tools.command import Fatal

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


def add_tlv_map(settings, target, text):
    """add-tlv-map SWITCH MAP[,MAP]..."""
    settings.connect(target).tell(m.TlvTableMod(TLV_ADD, parse_maps(text)))


def del_tlv_map(settings, target, text=None):
    """del-tlv-map SWITCH [MAP[,MAP]...]"""
    maps = [] if text is None else parse_maps(text)
    command = TLV_CLEAR if text is None else TLV_DELETE
    settings.connect(target).tell(m.TlvTableMod(command, maps))


def dump_tlv_map(settings, target):
    """dump-tlv-map SWITCH"""
    dump(settings, settings.connect(target), m.TlvTableRequest())
