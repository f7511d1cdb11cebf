"""DESC, and tables: TABLE_MOD, their description, their status and statistics."""

from struct import Struct
from types import SimpleNamespace

from ofproto.codec.errors import OFError
from ofproto.codec.numbers import OF11, OF12
from pyvs.record import field, record

from .base import (
    ANY,
    EMPTY,
    FROM13,
    FROM14,
    MSG,
    ONLY10,
    REPLY,
    REQUEST,
    UP_TO_13,
    Body,
    Items,
    Layout,
    Message,
    Runs,
    row,
    wire,
)
from .properties import Fixed, make


@wire(row(ANY, REQUEST, 0, EMPTY))
@record
class DescRequest(Message):
    pass


@wire(row(ANY, REPLY, 0, Layout("mfr:str256 hw:str256 sw:str256 serial:str32 dp:str256")))
@record
class DescReply(Message):
    mfr: str = ""
    hw: str = ""
    sw: str = ""
    serial: str = ""
    dp: str = ""


# Configuration of tables

# What happens to packets that match no flow, up to 1.2
MISS_CONTROLLER, MISS_CONTINUE, MISS_DROP, MISS_MASK = range(4)
TC_EVICTION, TC_VACANCY_EVENTS = 1 << 2, 1 << 3  # from 1.4 on
EVICT_OTHER, EVICT_IMPORTANCE, EVICT_LIFETIME = 1, 2, 4
_EVICTION, _VACANCY = 2, 3
_FLAGS = Struct("!I")
_LEVELS = Struct("!BBBx")


def _put_eviction(found, flags):
    found.eviction = flags


def _put_vacancy(found, *levels):
    found.vacancy = levels


_PROPERTIES = Fixed({_EVICTION: (_FLAGS, _put_eviction), _VACANCY: (_LEVELS, _put_vacancy)}, True)


def _properties(table):
    out = b""
    if table.eviction is not None:
        out += make(_EVICTION, _FLAGS.pack(table.eviction))
    if table.vacancy is not None:
        out += make(_VACANCY, _LEVELS.pack(*(*table.vacancy, 0)[:3]))
    return out


_MOD = Layout("table_id:u8? pad:3 config:u32")


def _read_mod_14(cls, data, version):
    found = cls(**_MOD.unpack(data))
    _PROPERTIES.read(data[_MOD.size :], found)
    if found.vacancy is not None:
        found.vacancy = found.vacancy[:2]
        down, up = found.vacancy
        if not down <= up <= 100:
            raise OFError("OFPBPC_BAD_VALUE", f"vacancy {down}, {up}")
    return found


_DESC = Struct("!HBxI")


def _read_desc(data, version):
    _length, table, config = _DESC.unpack_from(data)
    found = TableDesc(table, config)
    _PROPERTIES.read(data[_DESC.size :], found)
    return found


def _write_desc(table, version):
    rest = _properties(table)
    return _DESC.pack(_DESC.size + len(rest), table.table_id, table.config) + rest


_DESCS = Runs("tables", _DESC.size, _read_desc, _write_desc)
_STATUS_HEAD = 8


def _read_status(cls, data, version):
    tables = _DESCS.read_items(data, _STATUS_HEAD, version)
    if len(tables) != 1:
        raise OFError("OFPBRC_BAD_LEN", f"{len(tables)} tables")
    if data[0] not in (VACANCY_DOWN, VACANCY_UP):
        raise OFError("OFPBPC_BAD_VALUE", f"reason {data[0]}")
    return cls(data[0], tables[0])


_STATUS = Body(
    _STATUS_HEAD,
    8,
    _read_status,
    lambda m, version: bytes((m.reason, *bytes(7))) + _write_desc(m.table, version),
)
_MOD_14 = Body(_MOD.size, 8, _read_mod_14, lambda m, version: _MOD.pack(m) + _properties(m))


@wire(row(UP_TO_13, MSG, 17, _MOD), row(FROM14, MSG, 17, _MOD_14))
@record
class TableMod(Message):
    """`table_id` None: all.  `config`: MISS_* up to 1.2, TC_* from 1.4 on, where `eviction` is
    EVICT_* bits (None: not told) and `vacancy` (down, up) in per cent: at less room than `down`,
    and at more than `up`, there is a TABLE_STATUS; (down, up, room now) in descriptions."""

    table_id: int | None
    config: int = 0
    eviction: int | None = None
    vacancy: tuple[int, ...] | None = None


@wire(row(FROM14, REQUEST, 14, EMPTY))
@record
class TableDescRequest(Message):
    pass


@record
class TableDesc:
    """As in TableMod."""

    table_id: int
    config: int = 0
    eviction: int | None = None
    vacancy: tuple[int, ...] | None = None


@wire(row(FROM14, REPLY, 14, _DESCS))
@record
class TableDescReply(Message):
    tables: list[TableDesc] = field(default_factory=list)
    more: bool = False


VACANCY_DOWN, VACANCY_UP = 3, 4  # reasons of TABLE_STATUS


@wire(row(FROM14, MSG, 31, _STATUS))
@record
class TableStatus(Message):
    """`reason`: VACANCY_DOWN or VACANCY_UP."""

    reason: int
    table: TableDesc


# Statistics


@wire(row(ANY, REQUEST, 3, EMPTY))
@record
class TableStatsRequest(Message):
    pass


@record
class TableStats:
    """`name`, `wildcards` (bits of 1.0's and 1.1's matches; OXM numbers in 1.2) and `max_entries`
    are of 1.0 to 1.2; 1.1 and 1.2 have `features`, in their own numbers, by the names in the
    layouts below."""

    table_id: int
    name: str = ""
    wildcards: int = 0
    max_entries: int = 0
    active: int = 0
    lookups: int = 0
    matched: int = 0
    features: dict[str, int] = field(default_factory=dict)


_STATS_10 = Layout(
    "table_id:u8 pad:3 name:str32 wildcards:u32 max_entries:u32 active:u32 lookups:u64 matched:u64"
)
_STATS_13 = Layout("table_id:u8 pad:3 active:u32 lookups:u64 matched:u64")


_STATS_11 = Layout(
    "table_id:u8 pad:7 name:str32 wildcards:u32 match:u32 instructions:u32 write_actions:u32"
    " apply_actions:u32 config:u32 max_entries:u32 active:u32 lookups:u64 matched:u64"
)
_STATS_12 = Layout(
    "table_id:u8 pad:7 name:str32 match:u64 wildcards:u64 write_actions:u32 apply_actions:u32"
    " write_setfield:u64 apply_setfield:u64 metadata_match:u64 metadata_write:u64"
    " instructions:u32 config:u32 max_entries:u32 active:u32 lookups:u64 matched:u64"
)


class _Stats:
    """Statistics with features, whose columns TableStats keeps apart."""

    step = 0

    def __init__(self, layout):
        self.layout = layout
        self.size = layout.size
        self.own = TableStats.__slots__

    def read(self, cls, data, version):
        found = self.layout.unpack(data)
        features = {name: found.pop(name) for name in self.layout.names if name not in self.own}
        return cls(**found, features=features)

    def write(self, table, version):
        values = {name: table.features.get(name, 0) for name in self.layout.names}
        values |= {name: getattr(table, name) for name in self.layout.names if name in self.own}
        return self.layout.pack(SimpleNamespace(**values))


@wire(
    row(ONLY10, REPLY, 3, Items("tables", TableStats, _STATS_10)),
    row((OF11, OF11), REPLY, 3, Items("tables", TableStats, _Stats(_STATS_11))),
    row((OF12, OF12), REPLY, 3, Items("tables", TableStats, _Stats(_STATS_12))),
    row(FROM13, REPLY, 3, Items("tables", TableStats, _STATS_13)),
)
@record
class TableStatsReply(Message):
    tables: list[TableStats] = field(default_factory=list)
    more: bool = False
