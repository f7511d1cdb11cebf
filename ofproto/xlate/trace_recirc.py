"""Trace behind a ct action: the packet comes round as a tracked one, whose state the user may name.

The tracker is not asked: `--ct-next` says what it would find, packet by packet.
"""

from collections.abc import Iterator
from typing import Any

from datapath.key import flow
from ofproto.codec.fields import CT_STATE_BITS

_BITS = {name: 1 << i for i, name in enumerate(CT_STATE_BITS)}
_NEW, _EST, _RPL, _INV, _TRK = (_BITS[name] for name in ("new", "est", "rpl", "inv", "trk"))
_DEFAULT = _TRK | _NEW
_MOST = 4096  # packets that come round in one trace
_RULE = "=" * 79
# What excludes what: bits that ask, bits that may not be there, text.
_EXCLUSIVE = (
    (_INV, ~(_TRK | _INV), 'when "inv" is set, only "trk" may also be set'),
    (_NEW, _EST, '"new" and "est" are mutually exclusive'),
    (_NEW, _RPL, '"new" and "rpy" are mutually exclusive'),
)


class TraceError(Exception):
    """The request makes no sense; its text is for the user."""


def member(key: bytes, name: str) -> bytes:
    offset, size = flow.MEMBERS[name]
    return key[offset : offset + size]


def _replaced(key: bytes, name: str, value: bytes) -> bytes:
    offset, size = flow.MEMBERS[name]
    return key[:offset] + value + key[offset + size :]


def parse_ct_state(text: str) -> int:
    """The bits of `trk,new` (--ct-next).  Raises TraceError for what no packet can be."""
    state = 0
    for word in text.replace(",", " ").split():
        if word not in _BITS:
            raise TraceError(f"{word}: unknown connection tracking state flag")
        state |= _BITS[word]
    found = []
    if state and not state & _TRK:
        found.append('If "trk" is unset, no other flags are set')
    found += [why for asks, bad, why in _EXCLUSIVE if state & asks and state & bad]
    if found:
        named = _format_state(state)
        raise TraceError("\n".join(f"{named}: invalid connection state: {why}" for why in found))
    return state


def _format_state(state: int) -> str:
    return "|".join(name for name, bit in _BITS.items() if state & bit)


def follow(result: Any, ct_states: list[int], again: Any) -> Iterator[str]:
    """The reports of all packets that ct sent round from `result` on, in their order; `again(key)`
    gives the translation of one and the pieces of its report."""
    states = iter(ct_states)
    waiting = list(result.forked)
    for done, fork in enumerate(waiting):
        if done == _MOST:
            yield (
                f"\n{_RULE}\nTrace reached the recirculation limit.  Stopping the trace here."
                f"\nQueued but not processed: {len(waiting) - done} recirculations.\n"
            )
            return
        key, head = _resumed(fork, next(states, None))
        head = f"\n{_RULE}\n{head}{_RULE}\n\n"
        try:
            result, report = again(key)
        except TraceError as error:  # what was known of the packet was given up meanwhile
            yield f"{head}{error}\n"
            return
        yield head
        yield from report
        waiting += result.forked


def _resumed(fork: Any, state: int | None) -> tuple[bytes, str]:
    """The key of the packet that comes round, and what the report says of it first."""
    if state is None:
        state = _DEFAULT
        how = "default ct_state=trk|new (use --ct-next to customize)"
    else:
        how = f"ct_state={_format_state(state)}"
    head = f"recirc({fork.recirc_id:#x}) - resume conntrack with {how}\n"
    key = _replaced(fork.key, "recirc_id", fork.recirc_id.to_bytes(4, "big"))
    key = _replaced(key, "ct_state", state.to_bytes(4, "big"))
    for nat in (each for each in fork.action.actions if type(each).__name__ == "Nat"):
        changed = _translated(key, nat)
        head += (
            "Replacing src/dst IP/ports to simulate NAT:\n"
            f" Initial flow: {_addresses(key, nat)}\n Modified flow: {_addresses(changed, nat)}\n"
        )
        key = changed
    return key, head


def _translated(key: bytes, nat: Any) -> bytes:
    """With the first address and port of the range, which stand for all."""
    if nat.first is None:
        return key
    which = "src" if nat.flags & 1 else "dst"
    kind = "nw" if nat.first.version == 4 else "ipv6"
    key = _replaced(key, f"{kind}_{which}", nat.first.packed)
    return _replaced(key, f"tp_{which}", (nat.first_port or 0).to_bytes(2, "big"))


def _addresses(key: bytes, nat: Any) -> str:
    if nat.first is None:
        return ""
    words = []
    for which in ("src", "dst"):
        if nat.first.version == 4:
            shown = ".".join(map(str, member(key, f"nw_{which}")))
            words.append(f"nw_{which}={shown}")
        else:
            made = type(nat.first)(member(key, f"ipv6_{which}"))
            words.append(f"ipv6_{which}=[{made}]")
        words.append(f"tp_{which}={int.from_bytes(member(key, f'tp_{which}'), 'big')}")
    return ",".join(words)
