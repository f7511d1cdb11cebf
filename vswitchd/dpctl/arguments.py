"""Arguments of dpctl's commands: flows, actions and ports by their names."""

import errno
import os
import re

from pyvs import digits
from vswitchd.dpctl.run import DpctlError

_UFID = re.compile(r"[^,\s]*")


def number_of(run, name):
    """The port number that a name, or a number, stands for; None when there is none."""
    for port in run.ports():
        if port.name == name:
            return port.port_no
    number = digits.number(name)
    return number if any(port.port_no == number for port in run.ports()) else None


def with_numbers(text, numbers):
    """A flow's text with in_port as a number, where it is a name of `numbers`."""
    before, found, rest = text.partition("in_port(")
    name, closed, rest = rest.partition(")")
    if not found or not closed or name not in numbers:
        return text
    return f"{before}{found}{numbers[name]}{closed}{rest}"


def parse_flow(run, text, doing="parsing flow key"):
    """(key as it is written, mask) of a flow, in_port by name too, and (ufid or None)."""
    from datapath.key import key_text
    from datapath.text import parse_ufid

    head, text = split_ufid(text)
    ufid = checked("parsing flow ufid", parse_ufid, head) if head else None
    text = with_numbers(text, {port.name: port.port_no for port in run.ports()})
    key, mask = checked(doing, key_text.parse_given, text, whole=True)
    return key, _of_first_pass(mask), ufid


def split_ufid(text):
    """(ufid:..., or nothing; the rest) of a flow."""
    head = _UFID.match(text).group() if text.startswith("ufid:") else ""
    return head, text.removeprefix(head).lstrip(", \t") if head else text


def check_whole(run, text):
    """Under Open vSwitch's names, flows that its datapath does not take for want of a part are
    not taken; here, what a flow leaves out is not matched."""
    from datapath.key import key_text, whole
    from pyvs import identity

    if not identity.is_ovs():
        return
    text = with_numbers(split_ufid(text)[1], {port.name: port.port_no for port in run.ports()})
    if not whole.is_whole(text, *key_text.parse_given(text)):
        raise DpctlError("updating flow table (Invalid argument)")


def _of_first_pass(mask):
    """A flow that says nothing of recirc_id is of packets that have none, as in Open vSwitch's
    userspace datapath."""
    from datapath.key import flow

    at, size = flow.MEMBERS["recirc_id"]
    return bytes(mask[:at]) + b"\xff" * size + bytes(mask[at + size :])


def parse_actions(run, text, doing="parsing actions"):
    """Actions as bytes; outputs by name too."""
    from datapath.actions.text import odp_text
    from datapath.text import map_words

    def by_number(word):
        number = number_of(run, word)
        return word if number is None else str(number)

    def is_name(word):
        return word and not word.isdigit() and any(port.name == word for port in run.ports())

    text = map_words(text, lambda word: by_number(word) if is_name(word) else word)
    return checked(doing, odp_text.parse_actions, text)


def checked(doing, parse, text, whole=False):
    """parse(text), or what was being done when it failed; `whole`: Open vSwitch says where."""
    from datapath.key.notations import TooLong

    try:
        return parse(text)
    except ValueError as error:
        number = errno.E2BIG if isinstance(error, TooLong) else errno.EINVAL
        why = _told(error, text, whole)
        told = f"{doing} ({why})" if doing and why else doing or why
        raise DpctlError(f"{told} ({os.strerror(number)})") from error


def _told(error, text, whole):
    """What is wrong.  Open vSwitch says from where on a flow is, and nothing of actions."""
    from pyvs import identity

    if not identity.is_ovs():
        return str(error)
    return f"syntax error at {_from_item(text, str(error))}" if whole else ""


def _from_item(text, error):
    """The flow from the item on, at its top level, that an error names in front."""
    at = max(text.find(error.partition(":")[0]), 0)
    start = inside = 0
    for end, char in enumerate(text[:at], 1):
        inside += (char == "(") - (char == ")")
        if not inside and char in ", ":
            start = end
    return text[start:]


def masked(key, mask):
    from datapath.key import outer_text

    return outer_text.masked(key, mask)


def ufid_of(key, mask, ufid):
    from datapath.key import flow

    if ufid is not None:
        return ufid
    size = flow.KEY_DP_SIZE
    return flow.ufid(masked(key, mask)[:size], mask[:size])
