"""docs/bounds.md says what the constants say."""

import contextlib
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs/bounds.md").read_text()
WORD = re.compile(r"\w+")
UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20}
ROWS = re.findall(r"\| (\d+) ?(|KiB|MiB) \| `([^`:]+):(\w+)` \|", DOCUMENT)


def values(path):
    """Constants of a module, as they stand in its text: extensions have theirs in C."""
    found = {}
    for line in (ROOT / path).read_text().splitlines():
        assigned = re.match(r"\s*([A-Z_][A-Z_, ]*)(?:: \w+)? = ([^#]+)", line)
        if not assigned:
            continue
        names, terms = (each.split(",") for each in assigned.groups())
        for name, term in zip(names, terms, strict=False):
            words = WORD.findall(term)
            if all(word[0].isdigit() or word in found for word in words):
                with contextlib.suppress(SyntaxError):  # a value that goes on in the next line
                    found[name.strip()] = eval(term, {}, found)
    return found


def test_each_row_is_read():
    assert len(ROWS) == sum(line.count("` |") and ":" in line for line in DOCUMENT.splitlines())


def test_the_document_says_what_the_modules_say():
    for number, unit, path, name in ROWS:
        assert values(path)[name] == int(number) * UNITS[unit], f"{path}:{name}"
