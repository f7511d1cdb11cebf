"""JSON that hurts: values at the limits, and changes of a message that is right."""

import copy
import json
import sys

sys.setrecursionlimit(max(10_000, sys.getrecursionlimit()))  # json.dumps of what is deep

LIMITS = (0, -1, 1, 2**31, 2**63 - 1, -(2**63), 2**63, 2**64, 10**400, 0.5, 1e308, -0.0, 1e-320)
TEXTS = (
    "",
    " ",
    "\0",
    "a" * 300,
    "é€😀",
    "_uuid",
    "set",
    "map",
    "uuid",
    "named-uuid",
    "%s%n",
    "../x",
)
DEPTHS = (1, 10, 100, 250, 254, 255, 256, 300, 500, 900, 990)
COUNTS = (0, 1, 2, 3, 63, 64, 65, 255, 256, 1000)
MOST_VALUES = 200_000  # in a message: repetition of repetitions is no end of them


def nested(rng, depth=None):
    """Arrays or objects in each other."""
    depth = depth or rng.choice(DEPTHS)
    value = rng.choice(([], {}, 1, "x", None))
    kind = rng.random()
    for level in range(depth):
        as_list = kind < 0.5 or (kind < 0.75 and level % 2)
        value = [value] if as_list else {"a": value}
    return value


def hostile_value(rng):
    """A value where another is expected."""
    kind = rng.randrange(9)
    if kind == 0:
        return rng.choice(LIMITS)
    if kind == 1:
        return rng.choice(TEXTS)
    if kind == 2:
        return nested(rng)
    if kind == 3:
        return rng.choice((None, True, False, [], {}, [[]], {"": {}}))
    if kind == 4:
        return [rng.choice(TEXTS)] * rng.choice(COUNTS)
    if kind == 5:
        return {f"{rng.choice(TEXTS)}{n}": n for n in range(rng.choice(COUNTS))}
    if kind == 6:
        return ["set", [rng.choice(LIMITS[:6]) for _ in range(rng.choice(COUNTS))]]
    if kind == 7:
        return ["map", [[rng.choice(TEXTS), n] for n in range(rng.choice(COUNTS))]]
    return ["uuid", rng.choice(("", "x", "0" * 36, "00000000-0000-0000-0000-000000000000", 5))]


def _places(value):
    """All (container, key) pairs of a value, but for those deep inside."""
    found = []
    waiting = [(value, 0)]
    while waiting:
        container, depth = waiting.pop()
        items = container.items() if type(container) is dict else enumerate(container)
        for key, inner in items:
            found.append((container, key))
            if type(inner) in (dict, list) and depth < 12:
                waiting.append((inner, depth + 1))
    return found


def _size(value):
    """How many values there are in a value; of more than MOST_VALUES only that."""
    waiting, size = [value], 0
    while waiting and size < MOST_VALUES:
        inner = waiting.pop()
        size += 1
        if type(inner) in (dict, list):
            waiting += inner.values() if type(inner) is dict else inner
    return size + len(waiting)


def mutate(rng, message):
    """Change a message (in place) at a few places of its structure; returns it."""
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        places = _places(message)
        if not places:
            break
        container, key = rng.choice(places)
        kind = rng.randrange(6)
        if kind <= 2:
            container[key] = hostile_value(rng)
        elif kind == 3 and type(container) is list:
            times = rng.choice((1, 2, 100))
            if times * _size(container[key]) < MOST_VALUES:
                container.extend(copy.deepcopy(container[key]) for _ in range(times))
        elif kind == 4:
            del container[key]
        elif type(container) is dict:
            container[rng.choice(TEXTS)] = container[key]
        else:
            container.insert(key, hostile_value(rng))
    return message


def text(rng, message):
    """A message's bytes, some of them damaged."""
    data = json.dumps(message, ensure_ascii=rng.random() < 0.7).encode(errors="surrogatepass")
    kind = rng.randrange(12)
    at = rng.randrange(len(data) + 1)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
    if kind == 2:
        return (
            data[:at]
            + rng.choice((b"{", b"[", b'"', b"\\", b"\\ud800", b"1e999", b"}"))
            + data[at:]
        )
    if kind == 3:
        return b" \n" * rng.choice(COUNTS) + data + b"\r\n\t "
    if kind == 4:
        return data.replace(b'"a"', b'"a":' * rng.choice((1, 500)))
    return data
