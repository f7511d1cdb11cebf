"""JSON as it goes out: orjson's, and the rare text that orjson does not write.

orjson reads 1024 levels of arrays and objects and writes 254; what was read must not be what
cannot be answered.
"""

import json
import sys
from typing import Any

import orjson

# Python's own encoder counts a level of nesting as a call.
_DEEP = 5000


def dumps(value: Any, sort_keys: bool = False) -> bytes:
    """The UTF-8 text of a JSON value, without white space.  Raises TypeError, ValueError for
    what is none."""
    try:
        if sort_keys:
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        return orjson.dumps(value)
    except TypeError:
        pass  # deep, or an integer of more than 64 bits
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _DEEP))
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=sort_keys)
    finally:
        sys.setrecursionlimit(limit)
    return text.encode()
