"""Matches that come one after the other with the same fields: what is known of the first of
them saves most of the work for the others.

A controller's FLOW_MODs mostly differ in addresses and ports only.  A Plan has what the TLVs
of one match have in common with those of others that decode alike: all headers and masks, and
the values of fields that other fields depend on.  Where a match has these, what is left is to
copy the other values to their places.
"""

from typing import Any

from .match import Match

# Fields that no other depends on, and that may have any value.
FREE = {
    "eth_src", "eth_dst", "ip_src", "ip_dst", "ipv6_src", "ipv6_dst",
    "arp_spa", "arp_tpa", "arp_sha", "arp_tha", "nd_target", "nd_sll", "nd_tll",
    "tcp_src", "tcp_dst", "udp_src", "udp_dst", "sctp_src", "sctp_dst", "mpls_ttl", "pbb_isid",
    "tun_id", "tun_src", "tun_dst", "tun_ipv6_src", "tun_ipv6_dst",
    "conj_id", "metadata", "pkt_mark",
}  # fmt: skip
FREE |= {f"{kind}{number}" for kind in ("reg", "xreg", "xxreg") for number in range(16)}
MAX_PLANS = 4  # for one length of the TLVs
MAX_LENGTHS = 64  # of TLVs that there are plans for; the one that came first goes
LEARN_EVERY = 8  # matches without a plan, that one is made for one of them

_plans: dict[int, list["Plan"]] = {}
_unplanned = 0


class Plan:
    """For TLVs of one length.  Seen as numbers, they have the bits `fixed` among `fixed_mask`
    and none of `forbidden`, which are values outside of their masks."""

    __slots__ = ("copies", "fixed", "fixed_mask", "forbidden", "key", "mask")

    def __init__(self, data: bytes, match: Match, parts: list[tuple[int, int, Any, bool]]):
        """`parts`: for each TLV where its value begins and where it ends, with its mask; the
        place of a free value in the flow key, else None; whether there is a mask."""
        size = len(data)
        number = int.from_bytes(data, "big")
        free = self.forbidden = 0
        self.copies = []
        for begin, end, place, has_mask in parts:
            if place is None:
                continue
            middle = (begin + end) // 2 if has_mask else end
            bits = ((1 << 8 * (middle - begin)) - 1) << 8 * (size - middle)
            if has_mask:
                care = int.from_bytes(data[middle:end], "big")
                self.forbidden |= bits & ~(care << 8 * (size - middle))
            free |= bits
            self.copies.append((*place, begin, middle))
        self.fixed_mask = (1 << 8 * size) - 1 & ~free
        self.fixed = number & self.fixed_mask
        self.key, self.mask = bytes(match.key), bytes(match.mask)


def decode(data: bytes) -> Match | None:
    """The match of a run of TLVs, where a plan is known for it."""
    plans = _plans.get(len(data))
    if plans is None:
        return None
    number = int.from_bytes(data, "big")
    for plan in plans:
        if number & plan.fixed_mask == plan.fixed and not number & plan.forbidden:
            match = Match(plan.key, plan.mask)
            key = match.key
            for start, stop, begin, end in plan.copies:
                key[start:stop] = data[begin:end]
            return match
    return None


def wanted() -> bool:
    """Whether a plan is to be made of a match for which there was none."""
    global _unplanned
    _unplanned += 1
    return _unplanned % LEARN_EVERY == 0


def learn(data: bytes, match: Match, parts: list[tuple[int, int, Any, bool]]) -> None:
    """Make a plan of a match that was decoded; see Plan."""
    plans = _plans.setdefault(len(data), [])
    if len(_plans) > MAX_LENGTHS:
        del _plans[next(iter(_plans))]
    plans.insert(0, Plan(data, match, parts))
    del plans[MAX_PLANS:]
