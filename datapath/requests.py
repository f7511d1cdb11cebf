"""What requests to the datapath process may say, and how its answers are put together."""

import errno
import os

from datapath.actions import odp
from datapath.ipc import protocol

MAX_OPTIONS = 64  # of a port, a name and a text each,
MAX_OPTION = 1024  # characters of them together


class EngineError(Exception):
    """A request that cannot be done: errno, text."""

    def __init__(self, number, text=None):
        super().__init__(number, text or os.strerror(number))
        self.errno = number
        self.text = text or os.strerror(number)


class NotYet(Exception):
    """What a request asks for takes a while: it is to be done again a little later, until when its
    client waits; `forget()` where the client has gone."""

    def __init__(self, forget):
        super().__init__()
        self.forget = forget


def check_options(options):
    """Texts, and not more than an answer can carry for many ports."""
    if options is None:
        return
    if not isinstance(options, dict) or len(options) > MAX_OPTIONS:
        raise EngineError(errno.EINVAL, f"options: not {MAX_OPTIONS} names at most")
    for name, text in options.items():
        if not isinstance(text, str):
            raise EngineError(errno.EINVAL, f"option {name}: not a text")
    if sum(len(name) + len(text) for name, text in options.items()) > MAX_OPTION:
        raise EngineError(errno.EINVAL, f"options: more than {MAX_OPTION} characters")


def check(actions, executed=False):
    try:
        odp.check_actions(actions, executed)
    except ValueError as error:
        raise EngineError(errno.EINVAL, f"actions: {error}") from None


def whole(number):
    """A cursor of a request."""
    if type(number) is not int or not 0 <= number < 1 << 32:
        raise EngineError(errno.EINVAL, "bad cursor")
    return number


def refused(function, *args):
    """What the tracker's functions do, and their complaints as an EngineError."""
    try:
        return function(*args)
    except (ValueError, TypeError) as error:
        raise EngineError(errno.EINVAL, str(error)) from None
    except KeyError as error:
        raise EngineError(errno.ENOENT, f"{error}: not there") from None


def merge(records):
    """One flow's records of several workers, with counters added up."""
    if len(records) == 1:
        return records[0]
    heads = [protocol.FLOW.unpack_from(record) for record in records]
    flags = offloaded = 0
    for head in heads:
        flags |= head[6]
        offloaded |= head[7]
    packets, n_bytes, _, *earlier = (
        sum(column) for column in zip(*(h[1:6] for h in heads), strict=True)
    )
    used = max(head[3] for head in heads)
    total = (heads[0][0], packets, n_bytes, used, *earlier, flags, offloaded, heads[0][8])
    return protocol.FLOW.pack(*total) + records[0][protocol.FLOW.size :]


def numbers_of(what, numbers, limit):
    """A list of different numbers below the limit."""
    if not isinstance(numbers, list) or any(type(each) is not int for each in numbers):
        raise EngineError(errno.EINVAL, f"{what}: not a list of numbers")
    if any(not 0 <= each < limit for each in numbers) or len(set(numbers)) < len(numbers):
        raise EngineError(errno.EINVAL, f"{what}: out of range, or one twice")
