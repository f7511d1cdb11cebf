"""Command line options as getopt_long() reads them: long options by any unique beginning.
(Python's own getopt reports neither which option was abbreviated nor which ones are possible.)
"""


class UsageError(Exception):
    """A wrong command line; str() is for the user."""


def _find_long(name, known):
    """The full name of a possibly abbreviated long option, or None."""
    if name in known:
        return name
    found = [option for option in known if option.startswith(name)]
    if len(found) > 1:
        listed = " ".join(f"'--{option}'" for option in found)
        raise UsageError(f"option '--{name}' is ambiguous; possibilities: {listed}")
    return found[0] if found else None


def parse(args, rows, permute=False):
    """([(name, value or None)], remaining words).  `rows` of (long name, short letter or "",
    takes an argument: True, False or "optional").  Options end at the first word that is none,
    or with `permute` may stand anywhere; they end at a "--", which is dropped.
    Raises UsageError."""
    known = {row[0]: row[2] for row in rows}
    letters = {row[1]: row[0] for row in rows if row[1]}
    found, rest, index = [], [], 0
    while index < len(args):
        word = args[index]
        if word == "--":
            index += 1
            break
        if len(word) < 2 or word[0] != "-":
            if not permute:
                break
            rest.append(word)
            index += 1
            continue
        index += 1
        if word.startswith("--"):
            index = _long(args, index, word, known, found)
        else:
            index = _short(args, index, word, known, letters, found)
    return found, rest + args[index:]


def _long(args, index, word, known, found):
    given, equals, value = word[2:].partition("=")
    name = _find_long(given, known)
    if name is None:
        raise UsageError(f"unrecognized option '{word}'")
    takes = known[name]
    if not equals:
        value = None
        if takes is True:
            if index == len(args):
                raise UsageError(f"option '--{name}' requires an argument")
            value, index = args[index], index + 1
    elif not takes:
        raise UsageError(f"option '--{name}' doesn't allow an argument")
    found.append((name, value))
    return index


def _short(args, index, word, known, letters, found):
    position = 1
    while position < len(word):
        letter = word[position]
        position += 1
        name = letters.get(letter)
        if name is None:
            raise UsageError(f"invalid option -- '{letter}'")
        takes, value = known[name], None
        if takes:
            value, position = word[position:] or None, len(word)
            if value is None and takes is True:
                if index == len(args):
                    raise UsageError(f"option requires an argument -- '{letter}'")
                value, index = args[index], index + 1
        found.append((name, value))
    return index
