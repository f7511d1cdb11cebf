"""What is wrong with bytes or text beyond the error's name, for people to read.

Whoever runs a command for a person listens (pyvs-ofctl: its log); in a daemon, where peers choose
what is decoded, nobody does, and a note costs one test.
"""

from collections.abc import Callable
from contextlib import contextmanager

from .errors import OFError

Listener = Callable[[str, str, str, str], None]  # module, level, text, what shares its rate limit

_listeners: list[Listener] = []


def listen(listener: Listener | None) -> None:
    """Have `listener`, and nobody else in this process, told of each note; None: nobody."""
    _listeners[:] = [listener] if listener else []


def note(module: str, text: str, level: str = "WARN", kind: str = "") -> None:
    """Tell a note in the name of a log module of Open vSwitch's."""
    for listener in _listeners:
        listener(module, level, text, kind or module)


@contextmanager
def unheard():
    """Nobody is told of what is tried only."""
    kept, _listeners[:] = _listeners[:], []
    try:
        yield
    finally:
        _listeners[:] = kept


@contextmanager
def collected():
    """Yields a list of the notes' texts, which nobody else is told of."""
    kept, texts = _listeners[:], []
    listen(lambda _module, text, _level, _kind: texts.append(text))
    try:
        yield texts
    finally:
        _listeners[:] = kept


def heard() -> bool:
    """Whether making the text of a note is worth the time."""
    return bool(_listeners)


def noted(name: str, module: str, text: str, kind: str = "") -> OFError:
    """The error of this name, whose text has been told."""
    note(module, text, kind=kind)
    return OFError(name, text)


def bad_port(name: str, number: int) -> OFError:
    """The error of this name for a 32-bit port that is none of ours."""
    reach = "0 through 65279 or 0xffffff00 through 0xffffffff"
    return noted(name, "ofp_port", f"port {number} is outside the supported range {reach}")
