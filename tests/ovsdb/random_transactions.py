"""Random transactions over a schema that has every type, reference kind and constraint.

Rows have labels (integers) here, because two servers give them different UUIDs: `World`
translates requests of labels into UUIDs and answers back.
"""

import json
import re

from hypothesis import strategies as st

STRONG = {"type": "uuid", "refTable": "Child"}
WEAK = {**STRONG, "refType": "weak"}
MANY = {"min": 0, "max": "unlimited"}
SCHEMA = {
    "name": "Every",
    "version": "1.0.0",
    "tables": {
        "Root": {
            "isRoot": True,
            "maxRows": 5,
            "indexes": [["name"], ["number", "kind"]],
            "columns": {
                "name": {"type": "string"},
                "number": {
                    "type": {"key": {"type": "integer", "minInteger": -2, "maxInteger": 99}}
                },
                "kind": {
                    "type": {"key": {"type": "string", "enum": ["set", ["", "x", "y"]]}},
                },
                "ratio": {"type": {"key": {"type": "real", "minReal": -10.5, "maxReal": 1e9}}},
                "flag": {"type": "boolean"},
                "maybe": {"type": {"key": "string", "min": 0}},
                "text": {"type": {"key": {"type": "string", "maxLength": 3}}},
                "identity": {"type": "uuid"},
                "numbers": {"type": {"key": "integer", "min": 0, "max": 3}},
                "reals": {"type": {"key": "real", **MANY}},
                "words": {"type": {"key": "string", **MANY}},
                "flags": {"type": {"key": "boolean", "min": 1, "max": 2}},
                "map": {"type": {"key": "string", "value": "string", **MANY}},
                "counts": {"type": {"key": "integer", "value": "real", "min": 0, "max": 2}},
                "fixed": {"type": "string", "mutable": False},
                "passing": {"type": "string", "ephemeral": True},
                "children": {"type": {"key": STRONG, **MANY}},
                "child": {"type": {"key": STRONG, "min": 0}},
                "friends": {"type": {"key": WEAK, **MANY}},
                "by_name": {"type": {"key": "string", "value": STRONG, **MANY}},
                "weak_keys": {"type": {"key": WEAK, "value": "integer", **MANY}},
                "weak_values": {"type": {"key": "integer", "value": WEAK, "min": 0, "max": 2}},
            },
        },
        "Child": {
            "indexes": [["name"]],
            "columns": {
                "name": {"type": "string"},
                "next": {"type": {"key": STRONG, "min": 0}},
                "peers": {"type": {"key": WEAK, **MANY}},
                "number": {"type": "integer"},
            },
        },
        "Needy": {
            "isRoot": True,
            "columns": {
                "one": {"type": {"key": WEAK, "min": 1, "max": 2}},
                "name": {"type": {"key": {"type": "string", "minLength": 1}}},
            },
        },
    },
}
TABLES = {name: table["columns"] for name, table in SCHEMA["tables"].items()}
COMMON = {"_uuid": {"type": "uuid"}, "_version": {"type": "uuid"}}

# A row: ("row", n) is the nth known one, ("name", n) one of this transaction.
ROWS = st.one_of(
    st.integers(0, 9).map(lambda n: ["row", n]), st.integers(0, 3).map(lambda n: ["name", n])
)
ATOMS = {
    "integer": st.sampled_from([*range(9), *range(9), -1, -2, 99, 100, 2**63 - 1, -(2**63)]),
    "real": st.sampled_from([0, 1, -1.5, 0.1, 2.5, 1e9, -10.5, 1e300, 1e-7, 123456.75]),
    "boolean": st.booleans(),
    "string": st.sampled_from(
        ["", "x", "y", "z", "abc", "ä€", "\U0001f600a", 'q"\\\n\x01', "abcd"]
    ),
    "uuid": ROWS,
}
WRONG = st.sampled_from(
    [
        *(None, 1.5, 2**63, "1", True, [], {}, ["set"], ["set", {}], ["set", [1, 1]]),
        *(["set", ["a", "a"]], ["map", [["a"]]], ["map", [["a", "b"], ["a", "c"]]]),
        *(["uuid", "x"], ["named-uuid", "1"]),
    ]
)


def base_type(spec):
    """(key, value or None, max) of a column's type."""
    kind = spec["type"]
    if isinstance(kind, str):
        return kind, None, 1

    def atom(name):
        inner = kind.get(name)
        return inner["type"] if isinstance(inner, dict) else inner

    return atom("key"), atom("value"), kind.get("max", 1)


def seldom(draw, of):
    """True about once in `of` times.  (Not by a number at the border, which is drawn often.)"""
    return draw(st.integers(0, of)) == of // 2 + 1


@st.composite
def values(draw, spec):
    """A value for a column, mostly of its type."""
    if seldom(draw, 80):
        return draw(WRONG)
    key, value, most = base_type(spec)
    if value is not None:
        pairs = draw(st.lists(st.tuples(ATOMS[key], ATOMS[value]), max_size=3))
        unique = {json.dumps(k): [k, v] for k, v in pairs}
        return ["map", list(unique.values())]
    optional = isinstance(spec["type"], dict) and spec["type"].get("min") == 0
    if most == 1 and not optional and not seldom(draw, 50):
        return draw(ATOMS[key])
    found = draw(st.lists(ATOMS[key], max_size=1 if most == 1 else 3))
    unique = list({json.dumps(atom): atom for atom in found}.values())
    if len(unique) == 1 and draw(st.booleans()):
        return unique[0]
    return ["set", unique]


@st.composite
def rows(draw, table, least=0):
    columns = TABLES[table]
    names = draw(st.lists(st.sampled_from(sorted(columns)), min_size=least, max_size=4))
    return {name: draw(values(columns[name])) for name in names}


COMPARISONS = ["<", "<=", ">", ">="]
FUNCTIONS = ["==", "!=", "includes", "excludes"]
MUTATORS = ["+=", "-=", "*=", "/=", "%="]


def choose(draw, usual, unusual):
    """One of `usual`, or now and then of `unusual`."""
    return draw(st.sampled_from(unusual if seldom(draw, 19) else usual))


@st.composite
def clauses(draw, table):
    columns = {**TABLES[table], **COMMON}
    name = draw(st.sampled_from(["_uuid", "_uuid", *sorted(columns)]))
    key, value, most = base_type(columns[name])
    usual = FUNCTIONS
    if key in ("integer", "real") and value is None and most == 1:
        usual = [*FUNCTIONS, *COMPARISONS]
    function = choose(draw, usual, [*COMPARISONS, "~"])
    return [name, function, draw(values(columns[name]))]


def wheres(table):
    return st.lists(clauses(table), max_size=2)


def _can_mutate(spec):
    key, value, most = base_type(spec)
    return key in ("integer", "real") or value is not None or most != 1


@st.composite
def mutations(draw, table):
    columns = TABLES[table]
    name = choose(draw, [n for n in sorted(columns) if _can_mutate(columns[n])], sorted(columns))
    spec = columns[name]
    key, value, most = base_type(spec)
    usual = MUTATORS if key in ("integer", "real") and value is None else ["insert"]
    if value is not None or most != 1:
        usual = [*usual, "insert", "delete", "delete"]
    mutator = choose(draw, usual, [*MUTATORS, "insert", "^="])
    if mutator in MUTATORS:
        spec = {"type": key}
    if mutator == "delete" and value is not None and draw(st.booleans()):
        spec = {"type": {"key": key, **MANY}}
    return [name, mutator, draw(values(spec))]


def column_lists(table):
    names = st.sampled_from([*sorted(TABLES[table]), "_uuid"])
    chosen = st.lists(names, max_size=4, unique=True)
    wrong = st.sampled_from([["nosuch"], ["name", "name"], [1]])
    return st.integers(0, 19).flatmap(
        lambda n: wrong if n == 11 else st.none() if n < 5 else chosen
    )


@st.composite
def operations(draw):
    """One operation; more inserts than anything else."""
    kinds = ["insert"] * 5 + ["update", "mutate", "mutate", "delete", "select", "wait", "comment"]
    kind = choose(draw, kinds, ["commit", "commit", "abort", "assert", "bad"])
    table = draw(st.sampled_from(["Root", "Root", "Child", "Child", "Needy"]))
    made = {"op": kind, "table": table}
    if kind == "insert":
        made["row"] = draw(rows(table))
        if draw(st.booleans()):
            made["uuid-name"] = f"name{draw(st.integers(0, 3))}"
        elif draw(st.booleans()):
            made["uuid"] = draw(st.integers(0, 19))
        _make_fit(draw, made["row"], table)
    elif kind in ("update", "mutate", "delete", "select", "wait"):
        made["where"] = draw(wheres(table))
        _add_members(draw, made, kind, table)
    else:
        del made["table"]
        made.update(draw(st.sampled_from(OTHERS.get(kind, [{}]))))
    return made


def _make_fit(draw, row, table):
    """Most inserts shall succeed: names that differ, what must not be empty."""
    if seldom(draw, 9):
        return
    row["name"] = draw(st.sampled_from("abcdefghijklmnop"))
    if table == "Root":
        row["number"] = draw(st.integers(0, 30))
        if "kind" in row:
            row["kind"] = draw(st.sampled_from(["x", "y"]))
    if table == "Needy":
        row["one"] = draw(ROWS)


OTHERS = {
    "comment": [{"comment": "words"}] * 9 + [{"comment": 1}, {}],
    "commit": [{"durable": False}] * 5 + [{"durable": 1}],
    "assert": [{"lock": "mine"}, {"lock": "1"}],
    "bad": [{"op": "nonsense"}, {"op": 5}, {"op": "delete", "table": "x", "where": []}],
}


def _add_members(draw, made, kind, table):
    if kind == "update":
        made["row"] = draw(rows(table, 1))
    elif kind == "mutate":
        made["mutations"] = draw(st.lists(mutations(table), max_size=2))
    elif kind in ("select", "wait"):
        names = draw(column_lists(table))
        if names is not None:
            made["columns"] = names
    if kind == "wait":
        made["timeout"] = 0
        made["until"] = choose(draw, ["!="], ["==", "~"])
        made["rows"] = draw(st.lists(rows(table), max_size=2))


@st.composite
def conditions(draw):
    """New conditions of a monitor, with more than one clause that may hold.

    One boolean at most: Open vSwitch 3.1 takes a true among two falses for false.
    """
    made = {}
    for table in draw(st.lists(st.sampled_from(["Root", "Child"]), max_size=2, unique=True)):
        where = draw(st.lists(clauses(table), max_size=3))
        if draw(st.booleans()):
            where.insert(draw(st.integers(0, len(where))), draw(st.booleans()))
        made[table] = [{"where": where}]
    return made


TRANSACTIONS = st.lists(st.lists(operations(), min_size=1, max_size=5), min_size=1, max_size=6)
VALUE_ERRORS = ("syntax error", "constraint violation", "ovsdb error", "unknown column")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")


def error_name(name, operation):
    """The name of an error.  Which of several bad values is found first is not fixed, as the
    members of a row have no order."""
    columns = [operation.get("row", {}), *operation.get("rows", [])]
    if name in VALUE_ERRORS and sum(map(len, columns)) > 1:
        return "bad value"
    return name


class World:
    """Labels of the rows of one server."""

    def __init__(self):
        self.labels = {}
        self.uuids = []

    def note(self, uuid):
        """Give a new row a label."""
        if uuid not in self.labels:
            self.labels[uuid] = len(self.uuids)
            self.uuids.append(uuid)

    def chosen(self, number):
        """The UUID that a client asks for."""
        return f"{number:08x}-0000-4000-8000-000000000000"

    def request(self, json_):
        """A request with this server's UUIDs."""
        if isinstance(json_, dict):
            return {
                key: self.chosen(value) if key == "uuid" else self.request(value)
                for key, value in json_.items()
            }
        if isinstance(json_, list):
            if len(json_) == 2 and json_[0] == "row" and isinstance(json_[1], int):
                number = json_[1]
                known = self.uuids[-1 - number] if number < len(self.uuids) else self.chosen(77)
                return ["uuid", known]
            if len(json_) == 2 and json_[0] == "name" and isinstance(json_[1], int):
                return ["named-uuid", f"name{json_[1]}"]
            return [self.request(each) for each in json_]
        return json_

    def answer(self, json_):
        """An answer with labels instead of UUIDs, in a fixed order, without versions."""
        if isinstance(json_, str):
            return f"<{self.labels.get(json_, 'new')}>" if UUID.match(json_) else json_
        if isinstance(json_, dict):
            pairs = [(self.answer(k), self.answer(v)) for k, v in json_.items() if k != "_version"]
            return dict(sorted(pairs))
        if isinstance(json_, list):
            inner = [self.answer(each) for each in json_]
            if len(inner) == 2 and inner[0] in ("set", "map") and isinstance(inner[1], list):
                return [inner[0], sorted(inner[1], key=json.dumps)]
            return inner
        if type(json_) is float or (type(json_) is int and abs(json_) < 2**53):
            return float(f"{json_:.15g}")  # Open vSwitch writes 15 digits
        return json_

    def results(self, results, operations=()):
        """The results of a transaction; notes new rows, leaves out texts for people."""
        for result in results:
            if result and "uuid" in result:
                self.note(result["uuid"][1])
        found = []
        for number, result in enumerate(results):
            if result and "error" in result:
                operation = operations[number] if number < len(operations) else {}
                found.append({"error": error_name(result["error"], operation)})
            elif result and "rows" in result:
                shown = [self.answer(row) for row in result["rows"]]
                found.append({"rows": sorted(shown, key=json.dumps)})
            else:
                found.append(self.answer(result))
        return found
