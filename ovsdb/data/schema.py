"""Schemas (RFC 7047 section 3.2): types with their constraints, columns, tables.

Types also read and write values: `ColumnType.parse` is C, and `.encode` is chosen once per
column for its shape, as they run for every value of every transaction.
"""

import re
import sys
from collections.abc import Callable
from typing import Any

from ovsdb.data.datum import (
    INT_MAX,
    INT_MIN,
    ZERO_UUID,
    Datum,
    is_id,
    make_set,
)
from ovsdb.data.errors import Members, OvsdbError, constraint_violation, fail, syntax_error
from ovsdb.data.integers import is_int64
from ovsdb.data.uuids import is_uuid, new_uuid
from pyvs.streams.json_text import dumps

UNLIMITED = sys.maxsize
DEFAULT_ATOM = {"integer": 0, "real": 0.0, "boolean": False, "string": "", "uuid": ZERO_UUID}
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")  # a string that a text shows without quotes
is_version = re.compile(r"\d+\.\d+\.\d+\Z").match


class Symbols:
    """The named UUIDs of one transaction: name to UUID, and which an insert has made.  Most have
    none: they are made when they are wanted."""

    __slots__ = ("created", "uuids")

    def __init__(self):
        self.uuids: dict[str, str] | None = None
        self.created: set[str] | None = None

    def named(self) -> dict[str, str]:
        """The UUIDs by their names."""
        if self.uuids is None:
            self.uuids = {}
        return self.uuids

    def create(self, name: str) -> bool:
        """An insert makes the row of that name; whether it is the first to do so."""
        if self.created is None:
            self.created = set()
        if name in self.created:
            return False
        self.created.add(name)
        return True


# --- atoms


def _parse_integer(json: Any, _symbols: Symbols | None = None) -> int:
    if is_int64(json):
        return json
    # 1.0 and 1e3 are integers to OVSDB.
    if type(json) is float and json.is_integer() and INT_MIN <= json < INT_MAX:
        return int(json)
    fail("expected integer", json)


def _parse_real(json: Any, _symbols: Symbols | None = None) -> float:
    if type(json) is float:
        return json
    if type(json) is int:
        return float(json)
    fail("expected real", json)


def _parse_boolean(json: Any, _symbols: Symbols | None = None) -> bool:
    if type(json) is bool:
        return json
    fail("expected boolean", json)


def _parse_string(json: Any, _symbols: Symbols | None = None) -> str:
    if type(json) is str:
        return json
    fail("expected string", json)


def parse_uuid(json: Any, symbols: Symbols | None = None) -> str:
    """Parse ["uuid", U], or with `symbols` also ["named-uuid", NAME]."""
    if type(json) is list and len(json) == 2 and type(json[1]) is str:
        kind, text = json
        if kind == "uuid":
            if is_uuid(text):
                return text.lower()
            fail(f'"{text}" is not a valid UUID', json)
        if kind == "named-uuid" and symbols is not None:
            if not is_id(text):
                fail("named-uuid string is not a valid <id>", json)
            named = symbols.named()
            uuid = named.get(text)
            if uuid is None:
                uuid = named[text] = new_uuid()
            return uuid
    fail('expected ["uuid", <string>]', json)


ATOM_PARSERS: dict[str, Callable[..., Any]] = {
    "integer": _parse_integer,
    "real": _parse_real,
    "boolean": _parse_boolean,
    "string": _parse_string,
    "uuid": parse_uuid,
}


# The kinds whose every JSON value of this type is an atom as it stands.
NATIVE: dict[str, type] = {"real": float, "boolean": bool, "string": str}


def _encode_real(atom: float) -> Any:
    """A real without a fraction goes out as a JSON integer, as ovsdb-server writes it."""
    return int(atom) if -1e15 < atom < 1e15 and atom.is_integer() else atom


def _encode_uuid(atom: str) -> list:
    return ["uuid", atom]


# The kinds that are not the same in Python and in JSON.
ATOM_ENCODERS: dict[str, Callable[[Any], Any]] = {"real": _encode_real, "uuid": _encode_uuid}

# kind -> names of the members for minimum and maximum
RANGES = {
    "integer": ("minInteger", "maxInteger", (int,)),
    "real": ("minReal", "maxReal", (int, float)),
    "string": ("minLength", "maxLength", (int,)),
}


class BaseType:
    """The type of an atom with its constraints (<base-type>)."""

    __slots__ = (
        "_integer",
        "_native",
        "_parser",
        "enum",
        "kind",
        "maximum",
        "minimum",
        "ref_table",
        "strong",
    )

    def __init__(self, kind: str):
        self.kind = kind
        self._native = NATIVE.get(kind)
        self._integer = kind == "integer"
        self._parser = ATOM_PARSERS[kind]
        self.enum: tuple | None = None
        self.minimum: Any = None
        self.maximum: Any = None
        self.ref_table: str | None = None
        self.strong = True

    @classmethod
    def from_json(cls, json: Any) -> "BaseType":
        """Parse a <base-type>."""
        if type(json) is str:
            json = {"type": json}
        members = Members(json, "ovsdb type")
        kind = members.need("type", (str,))
        if kind not in DEFAULT_ATOM:
            fail(f'"{kind}" is not an atomic-type', json)
        self = cls(kind)
        enum = members.get("enum", (list, str, int, float, bool))
        if enum is not None:
            self.enum = ColumnType(BaseType(kind), None, 1, UNLIMITED).parse(enum)
            if not self.enum:
                fail("enum must not be empty", json)
        if kind in RANGES:
            low, high, kinds = RANGES[kind]
            self.minimum = members.get(low, kinds)
            self.maximum = members.get(high, kinds)
            if None not in (self.minimum, self.maximum) and self.minimum > self.maximum:
                fail(f"{low} exceeds {high}", json)
        if kind == "uuid":
            self.ref_table = members.get("refTable", (str,))
            ref_type = members.get("refType", (str,), "strong")
            if ref_type not in ("strong", "weak"):
                fail('refType must be "strong" or "weak"', json)
            self.strong = ref_type == "strong"
        members.finish()
        return self

    def to_json(self) -> Any:
        """The <base-type>, as short as can be."""
        json: dict[str, Any] = {"type": self.kind}
        if self.enum is not None:
            json["enum"] = ["set", [self.encode(atom) for atom in self.enum]]
        if self.kind in RANGES:
            low, high, _ = RANGES[self.kind]
            for name, bound in ((low, self.minimum), (high, self.maximum)):
                if bound is not None:
                    json[name] = bound
        if self.ref_table is not None:
            json["refTable"] = self.ref_table
            if not self.strong:
                json["refType"] = "weak"
        return self.kind if len(json) == 1 else json

    def parse(self, json: Any, symbols: Symbols | None = None) -> Any:
        """The atom, with its constraints unchecked; a syntax error when it is of another kind."""
        if type(json) is self._native:
            return json
        if self._integer and is_int64(json):
            return json
        return self._parser(json, symbols)

    def encode(self, atom: Any) -> Any:
        """The JSON of an atom."""
        encoder = ATOM_ENCODERS.get(self.kind)
        return encoder(atom) if encoder else atom

    def show(self, atom: Any) -> str:
        """For a text: a string in quotes where it could be taken for something else."""
        if self.kind != "string":
            return str(atom).lower()
        is_word = _WORD.fullmatch(atom) and atom not in ("true", "false") and not is_uuid(atom)
        return atom if is_word else dumps(atom).decode()

    @property
    def constrained(self) -> bool:
        """Whether check() can fail."""
        return not (self.enum is None and self.minimum is None and self.maximum is None)

    def check(self, atom: Any) -> None:
        """Raise a constraint violation when the atom is not allowed."""
        if self.enum is not None and atom not in self.enum:
            allowed = ", ".join(map(self.show, self.enum))
            raise constraint_violation(
                f"{self.show(atom)} is not one of the allowed values ([{allowed}])"
            )
        low, high = self.minimum, self.maximum
        if low is None and high is None:
            return
        if self.kind == "string":
            self._check_length(atom)
            return
        if (low is None or atom >= low) and (high is None or atom <= high):
            return
        if low is not None and high is not None:
            bounds = f"in the valid range {low} to {high} (inclusive)"
        elif low is not None:
            bounds = f"greater than or equal to minimum allowed value {low}"
        else:
            bounds = f"less than or equal to maximum allowed value {high}"
        raise constraint_violation(f"{atom} is not {bounds}")

    def _check_length(self, text: str) -> None:
        count, low, high = len(text), self.minimum, self.maximum
        if low is not None and count < low:
            raise constraint_violation(
                f'"{text}" length {count} is less than minimum allowed length {low}'
            )
        if high is not None and count > high:
            raise constraint_violation(
                f'"{text}" length {count} is greater than maximum allowed length {high}'
            )


# --- values of columns


class ColumnType:
    """The type of a column (<type>): a base type, or two for a map, and how many of them.

    `encode(value)` gives a value's JSON; `default` is the value of RFC 7047 section 5.2.1.
    """

    __slots__ = ("_constrained", "_resized", "default", "encode", "key", "max", "min", "value")

    def __init__(self, key: BaseType, value: BaseType | None, low: int, high: int):
        self.key = key
        self.value = value
        self.min = low
        self.max = high
        self._resized: dict[tuple[int, int], ColumnType] | None = None
        self._constrained = key.constrained or (value is not None and value.constrained)
        self.default: Datum
        if value is not None:
            first = {DEFAULT_ATOM[key.kind]: DEFAULT_ATOM[value.kind]}
            self.default = first if low else {}
            self.encode = self._map_encoder()
        else:
            self.default = (DEFAULT_ATOM[key.kind],) if low else ()
            self.encode = self._scalar_encoder() if low == high == 1 else self._set_encoder()

    @classmethod
    def from_json(cls, json: Any) -> "ColumnType":
        """Parse a <type>."""
        if type(json) is str:
            return cls(BaseType.from_json(json), None, 1, 1)
        members = Members(json, "ovsdb type")
        key = BaseType.from_json(members.need("key", (str, dict)))
        value_json = members.get("value", (str, dict))
        value = None if value_json is None else BaseType.from_json(value_json)
        low = members.get("min", (int,), 1)
        high = members.get("max", (int, str), 1)
        members.finish()
        if high == "unlimited":
            high = UNLIMITED
        if low not in (0, 1) or type(high) is not int or high < 1:
            fail("ovsdb type fails constraint checks", json)
        return cls(key, value, low, high)

    def to_json(self) -> Any:
        """The <type>, as short as can be."""
        if self.value is None and self.min == self.max == 1:
            key = self.key.to_json()
            return key if type(key) is str else {"key": key}
        json: dict[str, Any] = {"key": self.key.to_json()}
        if self.value is not None:
            json["value"] = self.value.to_json()
        if self.min != 1:
            json["min"] = self.min
        if self.max != 1:
            json["max"] = "unlimited" if self.max == UNLIMITED else self.max
        return json

    @property
    def is_map(self) -> bool:
        return self.value is not None

    @property
    def is_scalar(self) -> bool:
        return self.value is None and self.min == self.max == 1

    @property
    def is_plain(self) -> bool:
        """Whether a value is one atom that is its own JSON."""
        return self.is_scalar and self.key.kind not in ATOM_ENCODERS

    @property
    def is_composite(self) -> bool:
        """Whether changes are written as differences: room for more than one element."""
        return self.max > 1

    def describe(self) -> str:
        """The type in words, for error texts."""
        if self.is_scalar:
            return self.key.kind
        many = self._bounds()
        if self.value is not None:
            return f"map of {many}({self.key.kind}, {self.value.kind}) pairs"
        return f"set of {many}{self.key.kind}s"

    def _bounds(self) -> str:
        if self.max == UNLIMITED:
            return f"{self.min} or more " if self.min else ""
        return f"{self.min} to {self.max} " if self.min else f"up to {self.max} "

    def resized(self, low: int, high: int) -> "ColumnType":
        """The type with other limits on the number of elements."""
        if self._resized is None:
            self._resized = {}
        found = self._resized.get((low, high))
        if found is None:  # there are few, and each condition and mutation wants one
            found = self._resized[low, high] = ColumnType(self.key, self.value, low, high)
        return found

    def check(self, datum: Datum) -> None:
        """Raise a constraint violation for an atom that is not allowed."""
        if self.key.constrained:
            for atom in datum:
                self.key.check(atom)
        if self.value is not None and self.value.constrained:
            for atom in datum.values():  # type: ignore[union-attr]
                self.value.check(atom)

    def check_size(self, datum: Datum) -> None:
        """Raise a constraint violation for too few or too many elements."""
        if not self.min <= len(datum) <= self.max:
            raise constraint_violation(
                f"Attempted to store {len(datum)} elements in {self.describe()}."
            )

    def _limits(self) -> str:
        if self.min == self.max == 1:
            return "exactly one"
        if self.max == UNLIMITED:
            return f"{self.min} or more"
        return f"{self.min} to {self.max}"

    def _bad_size(self, kind: str, count: int, json: Any) -> OvsdbError:
        members = "member" if self.min == self.max == 1 else "members"
        return syntax_error(
            f"{kind} must have {self._limits()} {members} but {count} are present", json
        )

    def parse(self, json: Any, symbols: Symbols | None = None) -> Datum:
        """The value, checked; OvsdbError.  `symbols`: of the transaction, for named UUIDs."""
        datum = self.unchecked_parse(json, symbols)
        if self._constrained:
            self.check(datum)
        return datum

    def unchecked_parse(self, json: Any, symbols: Symbols | None = None) -> Datum:
        """As parse(), without the constraints of its atoms."""
        if self.value is not None:
            return self._parse_map(json, symbols)
        if type(json) is list and json and json[0] == "set":
            return self._parse_set(json, symbols)
        return (self.key.parse(json, symbols),)

    def _parse_set(self, json: list, symbols: Symbols | None) -> tuple:
        if len(json) != 2 or type(json[1]) is not list:
            fail('expected ["set", <array>]', json)
        atoms = json[1]
        count = len(atoms)
        if not self.min <= count <= self.max:
            raise self._bad_size("set", count, json)
        if count == 0:
            return ()
        key = self.key
        if count == 1:
            return (key.parse(atoms[0], symbols),)
        datum = make_set([key.parse(atom, symbols) for atom in atoms])
        if len(datum) != count:
            raise OvsdbError("ovsdb error", "set contains duplicate")
        return datum

    def _parse_map(self, json: Any, symbols: Symbols | None) -> dict:
        if type(json) is not list or len(json) != 2 or json[0] != "map":
            fail('expected ["map", <array>]', json)
        pairs = json[1]
        if type(pairs) is not list:
            fail('expected ["map", <array>]', json)
        if not self.min <= len(pairs) <= self.max:
            raise self._bad_size("map", len(pairs), json)
        key, value = self.key, self.value
        found = []
        for pair in pairs:
            if type(pair) is not list or len(pair) != 2:
                fail("expected 2-element array", pair)
            found.append((key.parse(pair[0], symbols), value.parse(pair[1], symbols)))
        if len(found) > 1:
            found.sort(key=_first)
        datum = dict(found)
        if len(datum) != len(found):
            raise OvsdbError("ovsdb error", "map contains duplicate key")
        return datum

    def _scalar_encoder(self) -> Callable[[Any], Any]:
        encoder = ATOM_ENCODERS.get(self.key.kind)
        if encoder is None:
            return lambda datum: datum[0]
        return lambda datum: encoder(datum[0])

    def _set_encoder(self) -> Callable[[Any], Any]:
        encoder = ATOM_ENCODERS.get(self.key.kind)

        def encode(datum: tuple) -> Any:
            if len(datum) == 1:
                return encoder(datum[0]) if encoder else datum[0]
            return ["set", [encoder(atom) for atom in datum] if encoder else list(datum)]

        return encode

    def _map_encoder(self) -> Callable[[Any], Any]:
        key = ATOM_ENCODERS.get(self.key.kind) or _same
        value = ATOM_ENCODERS.get(self.value.kind) or _same  # type: ignore[union-attr]
        if key is value is _same:
            return lambda datum: ["map", [[k, v] for k, v in datum.items()]]
        return lambda datum: ["map", [[key(k), value(v)] for k, v in datum.items()]]


def _first(pair: tuple) -> Any:
    return pair[0]


def _same(atom: Any) -> Any:
    return atom


# --- columns and tables


class Column:
    """A column of a table.  `name` is unique in its table."""

    __slots__ = ("bad_default", "mutable", "name", "persistent", "refs", "type")

    def __init__(self, name: str, type_: ColumnType, mutable: bool, persistent: bool):
        self.name = name
        self.type = type_
        self.persistent = persistent
        bases = [base for base in (type_.key, type_.value) if base is not None]
        # The references it can hold, as (in the key?, base type).
        self.refs = [(base is type_.key, base) for base in bases if base.ref_table is not None]
        weak = any(not base.strong for _in_key, base in self.refs)
        self.mutable = mutable or weak
        # The error of an insert that leaves the column out, when its default is not allowed.
        self.bad_default: OvsdbError | None = None
        try:
            type_.check(type_.default)
        except OvsdbError as error:
            self.bad_default = error

    @classmethod
    def from_json(cls, name: str, json: Any) -> "Column":
        """Parse a <column-schema>."""
        members = Members(json, f"schema for column {name}")
        mutable = members.get("mutable", (bool,), True)
        ephemeral = members.get("ephemeral", (bool,), False)
        type_ = ColumnType.from_json(members.need("type", (str, dict)))
        members.finish()
        return cls(name, type_, mutable, not ephemeral)

    def to_json(self) -> dict:
        """The <column-schema>."""
        json: dict[str, Any] = {"type": self.type.to_json()}
        if not self.mutable:
            json["mutable"] = False
        if not self.persistent:
            json["ephemeral"] = True
        return json


def _uuid_column(name: str) -> Column:
    return Column(name, ColumnType(BaseType("uuid"), None, 1, 1), False, False)


class TableSchema:
    """A table of a schema.  `columns` leaves out _uuid and _version, `column()` does not."""

    def __init__(self, name: str):
        self.name = name
        self.columns: dict[str, Column] = {}
        self.all_columns = {c: _uuid_column(c) for c in ("_uuid", "_version")}
        self.max_rows = UNLIMITED
        self.is_root = False
        self.indexes: list[tuple[str, ...]] = []

    @classmethod
    def from_json(cls, name: str, json: Any) -> "TableSchema":
        """Parse a <table-schema>."""
        members = Members(json, f"table schema for table {name}")
        columns = members.need("columns", (dict,))
        self = cls(name)
        self.max_rows = members.get("maxRows", (int,), UNLIMITED)
        self.is_root = members.get("isRoot", (bool,), False)
        if self.max_rows < 1:
            fail("maxRows must be at least 1", json)
        if not columns:
            fail("table must have at least one column", json)
        for column_name, column_json in columns.items():
            _check_name(column_name, "column", json)
            self.columns[column_name] = Column.from_json(column_name, column_json)
        self.all_columns.update(self.columns)
        for index in members.get("indexes", (list,), []):
            self.indexes.append(self._parse_index(index))
        members.finish()
        return self

    def _parse_index(self, json: Any) -> tuple[str, ...]:
        if type(json) is not list:
            fail("array of distinct column names expected", json)
        if not json:
            fail("index must have at least one column", json)
        for name in json:
            if type(name) is not str or name not in self.columns:
                fail(f"{name} is not a valid column name", json)
            if not self.columns[name].persistent:
                fail(f"ephemeral columns (such as {name}) may not be indexed", json)
        if len(set(json)) != len(json):
            fail("array of distinct column names expected", json)
        return tuple(json)

    def to_json(self, says_root: bool) -> dict:
        """The <table-schema>; `says_root`: with isRoot, if the table is a root."""
        json: dict[str, Any] = {
            "columns": {name: column.to_json() for name, column in self.columns.items()}
        }
        if self.max_rows != UNLIMITED:
            json["maxRows"] = self.max_rows
        if self.is_root and says_root:
            json["isRoot"] = True
        if self.indexes:
            json["indexes"] = [list(index) for index in self.indexes]
        return json

    def column(self, name: Any, json: Any) -> Column:
        """The column of that name, _uuid and _version too; "unknown column" otherwise."""
        column = self.all_columns.get(name)
        if column is None:
            raise OvsdbError("unknown column", f"No column {name} in table {self.name}.", json)
        return column

    def parse_columns(self, json: list) -> list[Column]:
        """The columns that an array of distinct names gives."""
        found = []
        for name in json:
            if type(name) is not str:
                fail("array of distinct column names expected", json)
            column = self.all_columns.get(name)
            if column is None:
                fail(f"{name} is not a valid column name", json)
            found.append(column)
            if column in found[:-1]:
                fail(f"column {name} mentioned more than once", json)
        return found


def _check_name(name: str, what: str, json: Any) -> None:
    if not is_id(name):
        fail(f"name must be a valid id: {what} {name}", json)
    if name.startswith("_"):
        fail(f'names beginning with "_" are reserved: {what} {name}', json)


class DatabaseSchema:
    """A <database-schema>: name, version, tables."""

    def __init__(self, name: str, version: str, cksum: str):
        self.name = name
        self.version = version
        self.cksum = cksum
        self.tables: dict[str, TableSchema] = {}

    @classmethod
    def from_json(cls, json: Any) -> "DatabaseSchema":
        """Parse a <database-schema> and check that it is consistent; raises OvsdbError."""
        members = Members(json, "database schema")
        name = members.need("name", (str,))
        version = members.get("version", (str,), "")
        cksum = members.get("cksum", (str,), "")
        tables = members.need("tables", (dict,))
        members.finish()
        if not is_id(name):
            fail("database name must be a valid id", name)
        if version and not is_version(version):
            fail(f'schema version "{version}" not in format x.y.z', json)
        self = cls(name, version, cksum)
        for table_name, table_json in tables.items():
            _check_name(table_name, "table", json)
            self.tables[table_name] = TableSchema.from_json(table_name, table_json)
        self._check_references()
        if not any(table.is_root for table in self.tables.values()):
            # Schemas older than garbage collection say isRoot nowhere.
            for table in self.tables.values():
                table.is_root = True
        return self

    def _check_references(self) -> None:
        for table in self.tables.values():
            for column in table.columns.values():
                for _in_key, base in column.refs:
                    if base.ref_table not in self.tables:
                        fail(
                            f"column {column.name} of table {table.name} refers to undefined"
                            f" table {base.ref_table}"
                        )
                    if base.strong and not column.persistent:
                        target = self.tables[base.ref_table]
                        # A reference that vanishes at a restart cannot hold a row.
                        if not target.is_root:
                            column.persistent = True

    def to_json(self) -> dict:
        """The <database-schema>."""
        json: dict[str, Any] = {"name": self.name}
        if self.version:
            json["version"] = self.version
        if self.cksum:
            json["cksum"] = self.cksum
        # Where all are roots, nobody needs to say so.
        says_root = not all(table.is_root for table in self.tables.values())
        json["tables"] = {name: table.to_json(says_root) for name, table in self.tables.items()}
        return json
