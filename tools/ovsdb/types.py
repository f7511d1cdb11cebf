"""OVSDB schemas and values as the commands see them: wire form, text form, both ways.

A value ("datum") is a dict for a map column, else a sorted list of atoms.  Atoms are bool,
int, float or str; a UUID is its lower-case text, told from a string by the column's type.
Sources: RFC 7047 sections 3 and 5.1, the "Database Values" section of ovs-vsctl(8).
"""

import json
import re

UNLIMITED = 1 << 32
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z", re.I)
_BARE_STRING = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z")
_INTEGER = re.compile(r"\s*[+-]?[0-9]+\Z")
_RANGE = re.compile(r"([+-]?[0-9]+)-([+-]?[0-9]+)\Z")
_MAX_RANGE = 4096
_DELIMITERS = frozenset(":=, []{}!<>")
TRUE_WORDS = ("true", "yes", "on", "1")
FALSE_WORDS = ("false", "no", "off", "0")
_DEFAULTS = {
    "integer": 0,
    "real": 0.0,
    "boolean": False,
    "string": "",
    "uuid": "00000000-0000-0000-0000-000000000000",
}
_ENGLISH = {
    "integer": "integers",
    "real": "reals",
    "boolean": "booleans",
    "string": "strings",
    "uuid": "UUIDs",
}


class BadValue(Exception):
    """A value that does not fit its column; str() is for the user."""


def is_uuid(text):
    return bool(_UUID.match(text))


class BaseType:
    """The type of keys or of values: RFC 7047 <base-type>."""

    __slots__ = ("enum", "maximum", "minimum", "ref_table", "ref_type", "type")

    def __init__(self, spec):
        if isinstance(spec, str):
            spec = {"type": spec}
        self.type = spec["type"]
        self.enum = spec.get("enum")
        if self.enum is not None:
            self.enum = sorted(_wire_set(self.enum))
        prefix = {"integer": "Integer", "real": "Real", "string": "Length"}.get(self.type, "")
        self.minimum = spec.get("min" + prefix)
        self.maximum = spec.get("max" + prefix)
        self.ref_table = spec.get("refTable")
        self.ref_type = spec.get("refType", "strong")

    def check(self, atom):
        """Raises BadValue when `atom` breaks a constraint."""
        if self.enum is not None and atom not in self.enum:
            allowed = ", ".join(atom_to_text(self.type, item) for item in self.enum)
            raise BadValue(
                f"constraint violation: {atom_to_text(self.type, atom)} is not one of the "
                f"allowed values ([{allowed}])"
            )
        low, high = self.minimum, self.maximum
        if self.type == "string":
            self._check_length(atom)
        elif (low is not None and atom < low) or (high is not None and atom > high):
            shown = atom_to_text(self.type, atom)
            if low is not None and high is not None:
                reason = f"is not in the valid range {low} to {high} (inclusive)"
            elif low is not None:
                reason = f"is less than minimum allowed value {low}"
            else:
                reason = f"is greater than maximum allowed value {high}"
            raise BadValue(f"constraint violation: {shown} {reason}")

    def _check_length(self, text):
        for bound, wrong, word in (
            (self.minimum, lambda n, b: n < b, "less than minimum"),
            (self.maximum, lambda n, b: n > b, "greater than maximum"),
        ):
            if bound is not None and wrong(len(text), bound):
                raise BadValue(
                    f'constraint violation: "{text}" length {len(text)} is {word} allowed '
                    f"length {bound}"
                )


class ColumnType:
    """RFC 7047 <type>; `value` is None unless it is a map."""

    __slots__ = ("key", "max", "min", "value")

    def __init__(self, spec):
        if isinstance(spec, str):
            spec = {"key": spec}
        self.key = BaseType(spec["key"])
        self.value = BaseType(spec["value"]) if "value" in spec else None
        self.min = spec.get("min", 1)
        most = spec.get("max", 1)
        self.max = UNLIMITED if most == "unlimited" else most

    @property
    def is_map(self):
        return self.value is not None

    def default(self):
        """The value that a new row gets."""
        if self.is_map:
            return {}
        if self.min == 0:
            return []
        return [self.key.enum[0] if self.key.enum else _DEFAULTS[self.key.type]]

    def at_least_one(self):
        """The same without limit on the number of elements, but not empty."""
        other = ColumnType.__new__(ColumnType)
        other.key, other.value, other.min, other.max = self.key, self.value, 1, UNLIMITED
        return other

    def english(self):
        """For messages: "set of 0 or more integers"."""
        if self.min == self.max == 1 and not self.is_map:
            return self.key.type
        what = _ENGLISH[self.key.type]
        if self.is_map:
            what = f"({self.key.type}, {self.value.type}) pairs"
        if self.max == UNLIMITED:
            amount = f"{self.min} or more " if self.min else ""
        elif self.min == 0:
            amount = f"up to {self.max} "
        else:
            amount = f"{self.min} to {self.max} "
        return f"{'map' if self.is_map else 'set'} of {amount}{what}"


def set_of(base, least=0):
    """The type of sets of any size from `least` of a BaseType."""
    kind = ColumnType({"key": "string", "min": least, "max": "unlimited"})
    kind.key = base
    return kind


class Column:
    __slots__ = ("ephemeral", "mutable", "name", "type")

    def __init__(self, name, spec):
        self.name = name
        self.type = ColumnType(spec["type"])
        self.ephemeral = spec.get("ephemeral", False)
        self.mutable = spec.get("mutable", True)


class Table:
    """`columns` has every column but _uuid and _version, in order of names."""

    __slots__ = ("columns", "is_root", "name")

    def __init__(self, name, spec):
        self.name = name
        self.is_root = spec.get("isRoot", False)
        columns = spec["columns"]
        self.columns = {key: Column(key, columns[key]) for key in sorted(columns)}


class Schema:
    """A schema; tables are parsed when first asked for, because most commands need few."""

    def __init__(self, spec):
        self.spec = spec
        self.name = spec["name"]
        self.version = spec.get("version", "")
        self.table_names = sorted(spec["tables"])
        # Before RFC 7047 there was no isRoot: then every table is a root.
        self.has_roots = any("isRoot" in table for table in spec["tables"].values())
        self._tables = {}

    def __contains__(self, name):
        return name in self.spec["tables"]

    def table(self, name):
        """Raises KeyError."""
        table = self._tables.get(name)
        if table is None:
            table = self._tables[name] = Table(name, self.spec["tables"][name])
            if not self.has_roots:
                table.is_root = True
        return table


UUID_COLUMN = Column("_uuid", {"type": "uuid", "mutable": False})


# Wire form

_NO_NAMES = {}


def _wire_set(value):
    return value[1] if isinstance(value, list) and value and value[0] == "set" else [value]


def _atom_from_wire(kind, value):
    if kind == "uuid":
        return value[1]
    return float(value) if kind == "real" else value


def from_wire(column_type, value):
    """The datum of a JSON value as a server sends it."""
    if column_type.is_map:
        key, val = column_type.key.type, column_type.value.type
        return {_atom_from_wire(key, k): _atom_from_wire(val, v) for k, v in value[1]}
    kind = column_type.key.type
    return sorted(_atom_from_wire(kind, item) for item in _wire_set(value))


def _atom_to_wire(kind, atom, named):
    if kind == "real" and abs(atom) < 1e15 and atom == int(atom):
        return int(atom)  # as ovsdb-server writes it
    if kind != "uuid":
        return atom
    return named.get(atom) or ["uuid", atom]


def to_wire(column_type, datum, named=_NO_NAMES):
    """The JSON form.  `named` maps UUIDs that are only placeholders to their wire form."""
    kind = column_type.key.type
    if column_type.is_map:
        val = column_type.value.type
        return [
            "map",
            [
                [_atom_to_wire(kind, key, named), _atom_to_wire(val, datum[key], named)]
                for key in sorted(datum)
            ],
        ]
    return set_to_wire(kind, datum, named)


def set_to_wire(kind, atoms, named=_NO_NAMES):
    """The JSON form of a set of atoms of a type."""
    wire = [_atom_to_wire(kind, atom, named) for atom in atoms]
    return wire[0] if len(wire) == 1 else ["set", wire]


# Text form


def atom_to_text(kind, atom):
    """As ovs-vsctl prints it: strings are quoted where they could be taken for something else."""
    if kind == "string":
        plain = _BARE_STRING.match(atom) and atom not in ("true", "false") and not is_uuid(atom)
        return atom if plain else json.dumps(atom, ensure_ascii=False)
    return _atom_to_bare(kind, atom)


def _atom_to_bare(kind, atom):
    if kind == "boolean":
        return "true" if atom else "false"
    if kind == "real":
        return f"{atom:.15g}"
    return str(atom)


def _atoms(column_type, datum, show):
    if column_type.is_map:
        key, val = column_type.key.type, column_type.value.type
        return [f"{show(key, k)}={show(val, datum[k])}" for k in sorted(datum)]
    return [show(column_type.key.type, atom) for atom in datum]


def to_text(column_type, datum):
    """The format of `--data=string`."""
    items = ", ".join(_atoms(column_type, datum, atom_to_text))
    if column_type.is_map:
        return "{" + items + "}"
    return items if column_type.max == 1 and datum else "[" + items + "]"


def to_bare(column_type, datum):
    """The format of `--data=bare`."""
    return " ".join(_atoms(column_type, datum, _atom_to_bare))


def to_json_text(column_type, datum):
    """The format of `--data=json`."""
    return json.dumps(to_wire(column_type, datum), separators=(",", ":"), ensure_ascii=False)


# Parsing what users type


class Symbols:
    """The @names of one command line.  `uuid` of a name is made up at its first mention."""

    def __init__(self):
        self.uuids = {}
        self.created = set()  # names given by --id
        self.found = set()  # of these, those of rows that a command found instead of making them
        self.strong = set()  # names that a strong reference mentions
        self.weak = set()

    def lookup(self, name):
        if name not in self.uuids:
            self.uuids[name] = new_uuid()
        return self.uuids[name]

    def define(self, name, uuid):
        """Makes `name`, which nothing has mentioned yet, mean a row that is there."""
        self.uuids[name] = uuid
        self.found.add(name)


def new_uuid():
    """A random UUID as text; like uuid.uuid4(), whose import is slow."""
    import os

    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def token(text, position):
    """(token, position behind it): up to a delimiter outside of quotes.  Quotes and
    backslashes stay in the token.  Raises BadValue."""
    begin, quoted = position, False
    while position < len(text):
        char = text[position]
        if char == "\\":
            if position + 1 == len(text):
                raise BadValue(f"{text[begin:]}: backslash at end of argument")
            position += 2
            continue
        if not quoted and char in _DELIMITERS:
            break
        if char == '"':
            quoted = not quoted
        position += 1
    if quoted:
        raise BadValue(f"{text[begin:]}: quoted string extends past end of argument")
    return text[begin:position], position


def _parse_string(text):
    if not text:
        raise BadValue(
            'An empty string is not valid as input; use "" to represent the empty string'
        )
    if text[0] != '"':
        return text
    if len(text) < 2 or text[-1] != '"':
        raise BadValue(f"{text}: missing quote at end of quoted string")
    try:
        value = json.loads(text, strict=False)
    except ValueError:
        raise BadValue(f"{text}: bad escape or stray quote in quoted string") from None
    if not isinstance(value, str) or "\0" in value:
        raise BadValue(f"{text}: null bytes are not allowed in strings")
    return value


def _parse_uuid(text, base, symbols):
    if text.startswith("@") and symbols is not None:
        if base.ref_table:
            (symbols.strong if base.ref_type == "strong" else symbols.weak).add(text)
        return symbols.lookup(text)
    if not is_uuid(text):
        raise BadValue(f'"{text}" is not a valid UUID')
    return text.lower()


def _parse_integer(text):
    number = int(text) if _INTEGER.match(text) else None
    if number is None or not -(1 << 63) <= number < 1 << 63:
        raise BadValue(f'"{text}" is not a valid integer or range')
    return number


def _parse_real(text):
    try:
        number = float(text)
    except ValueError:
        number = None
    if number is None or "_" in text or number != number or number in (float("inf"), -float("inf")):
        raise BadValue(f'"{text}" is not a valid real number')
    return number


def _parse_boolean(text):
    if text in TRUE_WORDS:
        return True
    if text in FALSE_WORDS:
        return False
    raise BadValue(f'"{text}" is not a valid boolean (use "true" or "false")')


_PARSERS = {
    "integer": _parse_integer,
    "real": _parse_real,
    "boolean": _parse_boolean,
    "string": _parse_string,
}


def parse_atom(base, text, symbols=None):
    """One atom, checked against the constraints of its type.  Raises BadValue."""
    if base.type == "uuid":
        atom = _parse_uuid(text, base, symbols)
    else:
        atom = _PARSERS[base.type](text)
    base.check(atom)
    return atom


def _parse_range(base, text):
    """The integers of "A-B", or None."""
    found = _RANGE.match(text)
    if base.type != "integer" or not found:
        return None
    first, last = _parse_integer(found[1]), _parse_integer(found[2])
    if last < first:
        raise BadValue(f'"{text}" is not a valid range. Range end cannot be before start.')
    base.check(first)
    base.check(last)
    if last - first >= _MAX_RANGE:
        raise BadValue(
            f'"{text}" is not a valid range. Number of elements in range exceeds {_MAX_RANGE}.'
        )
    return range(first, last + 1)


def _skip(text, position):
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def _atom_token(column_type, text, position):
    if position < len(text) and text[position] in _DELIMITERS:
        raise BadValue(f'{text}: unexpected "{text[position]}" parsing {column_type.english()}')
    return token(text, position)


def _parse_pair(column_type, text, position, symbols, items):
    word, position = _atom_token(column_type, text, position)
    key = parse_atom(column_type.key, word, symbols)
    position = _skip(text, position)
    if text[position : position + 1] != "=":
        where = f'"{text[position]}"' if position < len(text) else "end of input"
        raise BadValue(f'{text}: syntax error at {where} expecting "="')
    word, position = _atom_token(column_type, text, _skip(text, position + 1))
    items.append((key, parse_atom(column_type.value, word, symbols)))
    return position


def _parse_member(column_type, text, position, symbols, items):
    word, position = _atom_token(column_type, text, position)
    span = _parse_range(column_type.key, word)
    if span is not None:
        items.extend(span)
    else:
        items.append(parse_atom(column_type.key, word, symbols))
    return position


def _parse_items(column_type, text, symbols):
    parse = _parse_pair if column_type.is_map else _parse_member
    opening, closing = "{}" if column_type.is_map else "[]"
    position = _skip(text, 0)
    if position == len(text):
        kind = "map" if column_type.is_map else "set"
        raise BadValue(f'use "{opening}{closing}" to specify the empty {kind}')
    bracketed = text[position] == opening
    if bracketed:
        position = _skip(text, position + 1)
    items = []
    while position < len(text) and not (bracketed and text[position] == closing):
        position = _skip(text, parse(column_type, text, position, symbols, items))
        if text[position : position + 1] == ",":
            position = _skip(text, position + 1)
    if bracketed:
        if position == len(text):
            raise BadValue(f'{text}: missing "{closing}" at end of data')
        position = _skip(text, position + 1)
        if position < len(text):
            raise BadValue(f'{text}: trailing garbage after "{closing}"')
    return items


def parse(column_type, text, symbols=None):
    """The datum that `text` means.  Raises BadValue."""
    items = _parse_items(column_type, text, symbols)
    what = "pair(s)" if column_type.is_map else "value(s)"
    for wrong, word, limit in (
        (len(items) < column_type.min, "minimum", column_type.min),
        (len(items) > column_type.max, "maximum", column_type.max),
    ):
        if wrong:
            raise BadValue(
                f"{text}: {len(items)} {what} specified but the {word} number is {limit}"
            )
    if column_type.is_map:
        datum = dict(items)
        if len(datum) < len(items):
            raise BadValue(f"{text}: map contains duplicate key")
        return datum
    if len(set(items)) < len(items):
        raise BadValue(f"{text}: set contains duplicate value")
    return sorted(items)
