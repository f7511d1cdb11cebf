"""Datapath actions as text, in the form that `ovs-dpctl dump-flows` prints."""

import struct
from collections.abc import Callable, Iterator

from datapath.actions import odp
from datapath.base.protocols import ETH_VLAN
from datapath.key import flow, key_text, notations, outer_text

from . import ct_text, sample_text, tunnel_text

MEMBER_NAMES = tuple(flow.MEMBERS)
MEMBER_IDS = {name: i for i, name in enumerate(MEMBER_NAMES)}
HASHES = {odp.ALG_L4: "l4", odp.ALG_SYM_L4: "sym_l4"}
# Bits of a reason beside SLOW_ACTION; without any, it is the actions that need vswitchd.
SLOW_PATHS = {
    odp.CFM: "cfm", odp.BFD: "bfd", odp.LACP: "lacp", odp.STP: "stp", odp.LLDP: "lldp"
}  # fmt: skip
FULL_PROBABILITY = 0xFFFFFFFF
_CONTROLLER_DATA = struct.Struct("=IHHQBB6x")  # controller_data in odp.pxd
# Groups that set() may name, the likeliest reading of a member first: without the flow's key,
# nothing says whether tp_src is TCP's.
SETTABLE = (
    "skb_priority",
    "skb_mark",
    "eth",
    "vlan",
    "ipv6",
    "ipv4",
    "mpls",
    "pbb",
    "nsh",
    "tcp",
    "udp",
    "sctp",
    "icmp",
    "icmpv6",
    "nd",
    "nd_ext",
    "arp",
)


# ---- Attributes ----


def attributes(actions: bytes) -> Iterator[tuple[int, bytes]]:
    """Each (type, payload) of a run that check_actions passed."""
    at = 0
    while at < len(actions):
        kind, length = struct.unpack_from("=HH", actions, at)
        yield kind, bytes(actions[at + 4 : at + length])
        at += (length + 3) & ~3


def attribute(kind: int, payload: bytes = b"") -> bytes:
    """One action; ValueError where it is too long."""
    if len(payload) > 0xFFFF - 4:
        raise ValueError("action list too long")
    return struct.pack("=HH", kind, 4 + len(payload)) + payload + bytes(-len(payload) % 4)


def set_attribute(member: str, value: int, mask: int) -> bytes:
    """A SET of a whole member under a mask."""
    size = key_text.SIZES[member]
    return attribute(
        odp.SET,
        struct.pack("=HH", MEMBER_IDS[member], size)
        + value.to_bytes(size, "big")
        + mask.to_bytes(size, "big"),
    )


# ---- Formatting: type -> text of a payload ----


def _number(payload: bytes) -> int:
    return struct.unpack_from("=I", payload)[0]


def _format_push_vlan(payload: bytes, key: bytes | None) -> str:
    tpid, tci = struct.unpack("!HH", payload)
    kind = "" if tpid == ETH_VLAN else f"tpid=0x{tpid:04x},"
    cfi = "" if tci & key_text.CFI else ",cfi=0"
    return f"push_vlan({kind}vid={tci & 0xFFF},pcp={tci >> 13}{cfi})"


def _format_label(name: str, payload: bytes) -> str:
    lse, kind = struct.unpack("!IH", payload)
    return (
        f"{name}(label={lse >> 12},tc={lse >> 9 & 7},ttl={lse & 0xFF},bos={lse >> 8 & 1},"
        f"eth_type=0x{kind:x})"
    )


def _format_push_eth(payload: bytes, key: bytes | None) -> str:
    return f"push_eth(src={payload[:6].hex(':')},dst={payload[6:].hex(':')})"


def _format_push_nsh(payload: bytes, key: bytes | None) -> str:
    """RFC 8300, section 2.2."""
    head, kind, following, path = struct.unpack_from("!HBBI", payload)
    parts = [
        f"flags={head >> 12 & 3},ttl={head >> 6 & 63},mdtype={kind},np={following}",
        f"spi={path >> 8:#x},si={path & 0xFF}",
    ]
    metadata = payload[8:]
    if kind == 1:
        parts += [f"c{n}={value:#x}" for n, value in enumerate(struct.unpack("!4I", metadata), 1)]
    else:
        parts.append(f"md2=0x{metadata.hex()}" if metadata else "md2=0")
    return f"push_nsh({','.join(parts)})"


def _format_push_pbb(payload: bytes, key: bytes | None) -> str:
    tci = struct.unpack("!I", payload)[0]
    flags = tci >> 24 & 0x1F
    more = f",flags={flags:#x}" if flags else ""
    return f"push_pbb(isid={tci & 0xFFFFFF},pcp={tci >> 29}{more})"


def _format_hash(payload: bytes, key: bytes | None) -> str:
    algorithm, basis = struct.unpack("=II", payload)
    return f"hash({HASHES[algorithm]}({basis}))"


def _format_sample(payload: bytes, key: bytes | None) -> str:
    probability = _number(payload)
    # Enough digits to read the same number back.
    percent = 100 * probability / FULL_PROBABILITY
    text = f"{percent:.1f}"
    if _probability(text) != probability:
        text = f"{percent:.10f}"
    return f"sample(sample={text}%,actions({format_actions(payload[4:], key)}))"


def _format_userspace(payload: bytes, key: bytes | None) -> str:
    reason, pid = struct.unpack_from("=II", payload)
    if reason == odp.TO_CONTROLLER and len(payload) == 8 + _CONTROLLER_DATA.size:
        text = f"userspace(pid={pid},{_format_controller(payload[8:])})"
        if _reads_as(text, attribute(odp.USERSPACE, payload)):
            return text
    sample = sample_text.format_sample(reason, payload[8:])
    if sample is not None:
        return f"userspace(pid={pid},{sample})"
    slow = ",".join(slow_paths(reason))
    what = f"slow_path({slow})" if slow else f"reason={reason}"
    data = f",userdata({payload[8:].hex()})" if payload[8:] else ""
    return f"userspace(pid={pid},{what}{data})"


def slow_paths(reason: int) -> list[str]:
    """The names of what makes packets slow; none where the reason is another one."""
    known = [name for bit, name in SLOW_PATHS.items() if reason & bit]
    if reason & ~sum(SLOW_PATHS) != odp.SLOW_ACTION:
        return []
    return known or ["action"]


def _format_controller(data: bytes) -> str:
    state, controller_id, max_len, cookie, reason, flags = _CONTROLLER_DATA.unpack(data)
    return (
        f"controller(reason={reason},dont_send=0,continuation={flags & odp.PAUSED},"
        f"recirc_id={state},rule_cookie={f'{cookie:#x}' if cookie else '0'},"
        f"controller_id={controller_id},max_len={max_len})"
    )


def _format_check_len(payload: bytes, key: bytes | None) -> str:
    size, longer = struct.unpack_from("=II", payload)
    gt = format_actions(payload[8 : 8 + longer], key)
    le = format_actions(payload[8 + longer :], key)
    return f"check_pkt_len(size={size},gt({gt}),le({le}))"


_COPY_TTL = {odp.TTL_OUT: "copy_ttl_out", odp.TTL_IN: "copy_ttl_in"}
FORMATS: dict[int, Callable[[bytes, bytes | None], str]] = {
    odp.OUTPUT: lambda payload, key: str(_number(payload)),
    odp.PUSH_VLAN: _format_push_vlan,
    odp.POP_VLAN: lambda payload, key: "pop_vlan",
    odp.PUSH_MPLS: lambda payload, key: _format_label("push_mpls", payload),
    odp.ADD_MPLS: lambda payload, key: _format_label("add_mpls", payload),
    odp.PUSH_ETH: _format_push_eth,
    odp.POP_ETH: lambda payload, key: "pop_eth",
    odp.PUSH_NSH: _format_push_nsh,
    odp.POP_NSH: lambda payload, key: "pop_nsh()",
    odp.POP_MPLS: lambda payload, key: f"pop_mpls(eth_type=0x{struct.unpack('!H', payload)[0]:x})",
    odp.PUSH_PBB: _format_push_pbb,
    odp.POP_PBB: lambda payload, key: "pop_pbb",
    odp.COPY_TTL: lambda payload, key: _COPY_TTL[_number(payload)],
    odp.RECIRC: lambda payload, key: f"recirc({_number(payload):#x})",
    odp.HASH: _format_hash,
    odp.LB_OUTPUT: lambda payload, _: f"lb_output({_number(payload)})",
    odp.SAMPLE: _format_sample,
    odp.CLONE: lambda payload, key: f"clone({format_actions(payload, key)})",
    odp.USERSPACE: _format_userspace,
    odp.DROP: lambda payload, key: f"drop({_number(payload)})" if _number(payload) else "drop",
    odp.TRUNC: lambda payload, key: f"trunc({_number(payload)})",
    odp.CHECK_PKT_LEN: _format_check_len,
    odp.CT: lambda payload, key: ct_text.format_ct(payload),
    odp.CT_CLEAR: lambda payload, key: "ct_clear",
    odp.SET_TUNNEL: lambda payload, key: f"set({outer_text.format_set(payload)})",
    odp.METER: lambda payload, key: f"meter({_number(payload)})",
    odp.TUNNEL_PUSH: lambda payload, key: tunnel_text.format_push(payload),
    odp.TUNNEL_DEFRAG: lambda payload, key: tunnel_text.format_defrag(payload),
    odp.TUNNEL_POP: lambda payload, key: f"tnl_pop({_number(payload)})",
}


def _set_fields(name: str) -> list[key_text.Field]:
    return key_text._vlan(0) if name == "vlan" else key_text.fields_of(name, "")


def _candidates(key: bytes | None) -> list[tuple[str, list[key_text.Field]]]:
    known = list(key_text.protocol_groups(key)) if key is not None else []
    if known and known[0][0] == "mpls":  # the label on top has no number, as in Open vSwitch
        known.insert(0, ("mpls", _set_fields("mpls")))
    names = {name for name, _ in known}
    return known + [(name, _set_fields(name)) for name in SETTABLE if name not in names]


def read_set(payload: bytes) -> tuple[str, int, int]:
    """(member, value & mask, mask)."""
    member, size = struct.unpack_from("=HH", payload)
    value = int.from_bytes(payload[4 : 4 + size], "big")
    mask = int.from_bytes(payload[4 + size : 4 + 2 * size], "big")
    return MEMBER_NAMES[member], value & mask, mask


def _choose(
    run: list[tuple[str, int, int]], key: bytes | None
) -> tuple[str, list[key_text.Field], int]:
    """The group that shows most of the beginning of the run, and how many sets it shows."""
    best: tuple[str, list[key_text.Field], int] = ("", [], 0)
    for name, fields in _candidates(key):
        order = {field.member: i for i, field in enumerate(fields)}
        last, count = -1, 0
        for member, _, _ in run:
            if order.get(member, -1) <= last:
                break
            last = order[member]
            count += 1
        # Of IPv4 and IPv6, tos alone says nothing: IPv4 is what readers expect.
        if count > best[2] or (count == best[2] and name == "ipv4" and key is None and count):
            best = (name, fields, count)
    return best


def _format_group(name: str, fields: list[key_text.Field], sets: list[tuple[str, int, int]]) -> str:
    parts = []
    for member, value, mask in sets:
        for field in fields:
            bits = mask >> field.shift & field.ones
            if field.member == member and bits:
                text = key_text.format_value(field, value >> field.shift & bits, bits)
                parts.append(f"{field.label}={text}" if field.label else text)
    return f"set({name}({','.join(parts)}))"


def _reads_as(text: str, actions: bytes) -> bool:
    try:
        return parse_actions(text) == actions
    except ValueError:
        return False


def _format_sets(run: list[tuple[str, int, int]], key: bytes | None) -> list[str]:
    texts = []
    while run:
        name, fields, count = _choose(run, key)
        text = _format_group(name, fields, run[:count]) if count else ""
        wanted = b"".join(set_attribute(*one) for one in run[:count])
        if not count or not _reads_as(text, wanted):
            # No notation keeps this: by the member's own name.
            member, value, mask = run[0]
            text, count = f"set({member}({value:#x}/{mask:#x}))", 1
        texts.append(text)
        run = run[count:]
    return texts


def format_actions(actions: bytes, key: bytes | None = None) -> str:
    """The text of an action list; `key`, the flow's, tells which protocol a set is for.

    ValueError where check_actions raises it."""
    odp.check_actions(actions, True)
    texts: list[str] = []
    run: list[tuple[str, int, int]] = []
    for kind, payload in attributes(actions):
        if kind == odp.SET:
            run.append(read_set(payload))
            continue
        texts += _format_sets(run, key)
        run = []
        texts.append(FORMATS[kind](payload, key))
    texts += _format_sets(run, key)
    return ",".join(texts) or "drop"


# ---- Parsing: name -> bytes of NAME(body) ----


def _options(body: str, known: dict[str, int]) -> dict[str, int]:
    """`name=number` pairs over defaults; ValueError for others."""
    values = dict(known)
    for part in key_text.split(body):
        name, _, text = part.partition("=")
        if name not in known:
            raise ValueError(f"{part}: unknown option")
        values[name] = int(text, 0)
    return values


def _within(value: int, bits: int, what: str) -> int:
    if not 0 <= value < 1 << bits:
        raise ValueError(f"{what} {value}: out of range")
    return value


def c_number(text: str) -> int:
    """A number of C: decimal, hexadecimal behind 0x, octal behind 0; ValueError."""
    if not text[:1].isdigit() or "_" in text:
        raise ValueError(f"{text}: not a number")
    if text.isdigit() and text[0] == "0":
        return int(text, 8)
    return int(text, 16) if text[:2] in ("0x", "0X") else int(text)


def _u32(kind: int, text: str, what: str) -> bytes:
    return attribute(kind, struct.pack("=I", _within(int(text, 0), 32, what)))


def _parse_push_vlan(body: str) -> bytes:
    given = _options(body, {"tpid": ETH_VLAN, "vid": 0, "pcp": 0, "cfi": 1})
    tci = _within(given["vid"], 12, "vid") | _within(given["pcp"], 3, "pcp") << 13
    tci |= _within(given["cfi"], 1, "cfi") << 12
    return attribute(odp.PUSH_VLAN, struct.pack("!HH", _within(given["tpid"], 16, "tpid"), tci))


def _parse_label(action: int, body: str) -> bytes:
    given = _options(body, {"label": 0, "tc": 0, "ttl": 0, "bos": 0, "eth_type": 0x8847})
    lse = _within(given["label"], 20, "label") << 12 | _within(given["tc"], 3, "tc") << 9
    lse |= _within(given["bos"], 1, "bos") << 8 | _within(given["ttl"], 8, "ttl")
    kind = _within(given["eth_type"], 16, "eth_type")
    return attribute(action, struct.pack("!IH", lse, kind))


def _parse_push_eth(body: str) -> bytes:
    words = dict(part.partition("=")[::2] for part in key_text.split(body))
    if set(words) != {"src", "dst"}:
        raise ValueError(f"push_eth({body}): expected src=MAC,dst=MAC")
    read = notations.KINDS["mac"][1]
    return attribute(
        odp.PUSH_ETH, read(words["src"]).to_bytes(6, "big") + read(words["dst"]).to_bytes(6, "big")
    )


# name -> bits and default
_NSH_OPTIONS = {
    "flags": (2, 0), "ttl": (6, 63), "mdtype": (8, 1), "np": (8, 3), "spi": (24, 0),
    "si": (8, 255), "c1": (32, 0), "c2": (32, 0), "c3": (32, 0), "c4": (32, 0),
}  # fmt: skip


def _parse_push_nsh(body: str) -> bytes:
    parts = key_text.split(body)
    options = [part for part in parts if part.startswith("md2=0x")]
    parts = [part for part in parts if part != "md2=0"]  # none
    defaults = {name: default for name, (_, default) in _NSH_OPTIONS.items()}
    given = _options(",".join(part for part in parts if part not in options), defaults)
    for name, (bits, _) in _NSH_OPTIONS.items():
        _within(given[name], bits, name)
    if given["mdtype"] == 1:
        metadata = struct.pack("!4I", *(given[f"c{n}"] for n in (1, 2, 3, 4)))
    elif given["mdtype"] == 2:
        metadata = bytes.fromhex(options[0][len("md2=0x") :]) if options else b""
    else:
        raise ValueError(f"mdtype {given['mdtype']}: unknown")
    metadata += bytes(-len(metadata) % 4)
    words = _within(2 + len(metadata) // 4, 6, "words of the header")
    head = given["flags"] << 12 | given["ttl"] << 6 | words
    path = given["spi"] << 8 | given["si"]
    fixed = struct.pack("!HBBI", head, given["mdtype"], given["np"], path)
    return attribute(odp.PUSH_NSH, fixed + metadata)


def _parse_pop_mpls(body: str) -> bytes:
    kind = _options(body, {"eth_type": 0})["eth_type"]
    return attribute(odp.POP_MPLS, struct.pack("!H", _within(kind, 16, "eth_type")))


def _parse_push_pbb(body: str) -> bytes:
    given = _options(body, {"isid": 0, "pcp": 0, "flags": 0})
    tci = _within(given["pcp"], 3, "pcp") << 29 | _within(given["flags"], 5, "flags") << 24
    return attribute(odp.PUSH_PBB, struct.pack("!I", tci | _within(given["isid"], 24, "isid")))


def _parse_hash(body: str) -> bytes:
    name, basis = key_text.name_and_body(body)
    for algorithm, known in HASHES.items():
        if name in (known, "l4" if algorithm == odp.ALG_L4 else known):
            number = _within(int(basis, 0), 32, "basis")
            return attribute(odp.HASH, struct.pack("=II", algorithm, number))
    raise ValueError(f"{name}: unknown hash")


def _probability(percent: str) -> int:
    return round(float(percent) / 100 * FULL_PROBABILITY)


def _parse_sample(body: str) -> bytes:
    parts = key_text.split(body)
    if len(parts) != 2 or not parts[0].startswith("sample=") or not parts[0].endswith("%"):
        raise ValueError(f"sample({body}): expected sample=N%,actions(...)")
    name, nested = key_text.name_and_body(parts[1])
    probability = _probability(parts[0][len("sample=") : -1])
    if name != "actions" or not 0 <= probability <= FULL_PROBABILITY:
        raise ValueError(f"sample({body}): expected sample=N%,actions(...)")
    return attribute(odp.SAMPLE, struct.pack("=I", probability) + _parse(nested))


def _parse_check_len(body: str) -> bytes:
    parts = key_text.split(body)
    if len(parts) != 3 or not parts[0].startswith("size="):
        raise ValueError(f"check_pkt_len({body}): expected size=N,gt(...),le(...)")
    size = _within(int(parts[0][len("size=") :], 0), 16, "size")
    lists = []
    for part, wanted in zip(parts[1:], ("gt", "le"), strict=True):
        name, nested = key_text.name_and_body(part)
        if name != wanted:
            raise ValueError(f"check_pkt_len({body}): expected {wanted}(...)")
        lists.append(_parse(nested))
    head = struct.pack("=II", size, len(lists[0]))
    return attribute(odp.CHECK_PKT_LEN, head + lists[0] + lists[1])


_CONTROLLER_OPTIONS = {
    "reason": 8, "dont_send": 1, "continuation": 1, "recirc_id": 32, "rule_cookie": 64,
    "controller_id": 16, "max_len": 16,
}  # fmt: skip


def _parse_controller(body: str) -> bytes:
    given = _options(body, dict.fromkeys(_CONTROLLER_OPTIONS, 0))
    for name, bits in _CONTROLLER_OPTIONS.items():
        _within(given[name], bits, name)
    if given["dont_send"]:
        raise ValueError("dont_send=1: not supported")
    return _CONTROLLER_DATA.pack(
        given["recirc_id"], given["controller_id"], given["max_len"], given["rule_cookie"],
        given["reason"], given["continuation"] * odp.PAUSED,
    )  # fmt: skip


def _parse_slow(text: str) -> int:
    known = {"action": 0, "0": 0, **{name: bit for bit, name in SLOW_PATHS.items()}}
    reason = odp.SLOW_ACTION
    for name in key_text.split(key_text.name_and_body(text)[1].replace("|", ",")):
        if name not in known:
            raise ValueError(f"{text}: unknown slow path")
        reason |= known[name]
    return reason


def _parse_userspace(body: str) -> bytes:
    """pid=NUMBER, the Netlink port of a reader that we do not have, and what goes up."""
    reason, data = 0, b""
    first, *parts = key_text.split(body) or [""]
    try:
        pid = _within(c_number(first.removeprefix("pid=")), 32, "pid")
    except ValueError:
        raise ValueError(f"userspace({body}): expected pid=NUMBER") from None
    for part in parts:
        if part.startswith("reason="):
            reason = _within(int(part[7:], 0), 32, "reason")
        elif part.startswith("slow_path("):
            reason = _parse_slow(part)
        elif part.startswith("controller("):
            reason = odp.TO_CONTROLLER
            data = _parse_controller(key_text.name_and_body(part)[1])
        elif (sample := sample_text.parse_sample(part)) is not None:
            reason, data = sample
        elif (known := sample_text.parse_tunnel_out(part, data)) is not None:
            data = known
        elif part == "actions":
            pass
        elif part.startswith("userdata("):
            data = bytes.fromhex(key_text.name_and_body(part)[1])
        else:
            raise ValueError(f"{part}: unknown option of userspace()")
    return attribute(odp.USERSPACE, struct.pack("=II", reason, pid) + data)


def _parse_set(body: str) -> bytes:
    name, values = key_text.name_and_body(body)
    if name == "tunnel":
        return attribute(odp.SET_TUNNEL, outer_text.parse_set(values))
    fields = key_text._vlan(0) if name == "vlan" else key_text.fields_of(name, values)
    found = key_text.parse_group(fields, values)
    if name in ("ipv4", "ipv6") and found.keys() - _KEPT:
        found = {member: of for member, of in found.items() if member not in _KEPT}
    return b"".join(
        set_attribute(member, value & mask, mask) for member, (value, mask) in found.items()
    )


# What a whole header names and a set does not change, as in Open vSwitch's userspace datapath
_KEPT = {"nw_proto", "nw_frag"}

PARSERS: dict[str, Callable[[str], bytes]] = {
    "push_vlan": _parse_push_vlan,
    "push_mpls": lambda body: _parse_label(odp.PUSH_MPLS, body),
    "add_mpls": lambda body: _parse_label(odp.ADD_MPLS, body),
    "push_eth": _parse_push_eth,
    "push_nsh": _parse_push_nsh,
    "pop_nsh": lambda body: attribute(odp.POP_NSH),
    "pop_mpls": _parse_pop_mpls,
    "push_pbb": _parse_push_pbb,
    "recirc": lambda body: _u32(odp.RECIRC, body, "recirc_id"),
    "lb_output": lambda body: _u32(odp.LB_OUTPUT, body, "bond"),
    "hash": _parse_hash,
    "sample": _parse_sample,
    "check_pkt_len": _parse_check_len,
    "clone": lambda body: attribute(odp.CLONE, _parse(body)),
    "userspace": _parse_userspace,
    "drop": lambda body: _u32(odp.DROP, body, "reason"),
    "trunc": lambda body: _u32(odp.TRUNC, body, "length"),
    "ct": lambda body: attribute(odp.CT, ct_text.parse_ct(body)),
    "meter": lambda body: _u32(odp.METER, body, "meter"),
    "tnl_push": lambda body: attribute(odp.TUNNEL_PUSH, tunnel_text.parse_push(body)),
    "tnl_defrag": lambda body: attribute(odp.TUNNEL_DEFRAG, tunnel_text.parse_defrag(body)),
    "tnl_pop": lambda body: _u32(odp.TUNNEL_POP, body, "port"),
    "set": _parse_set,
}


# Names without parentheses
_BARE = {
    "pop_vlan": odp.POP_VLAN,
    "pop_pbb": odp.POP_PBB,
    "pop_eth": odp.POP_ETH,
    "ct_clear": odp.CT_CLEAR,
}


def _parse_one(item: str) -> bytes:
    if item[:1].isdigit():
        port = _within(c_number(item), 32, "port")
        return attribute(odp.OUTPUT, struct.pack("=I", port))
    if item == "ct":
        return attribute(odp.CT, ct_text.parse_ct(""))
    if item in _COPY_TTL.values():
        direction = odp.TTL_OUT if item == _COPY_TTL[odp.TTL_OUT] else odp.TTL_IN
        return attribute(odp.COPY_TTL, struct.pack("=I", direction))
    if item in _BARE:
        return attribute(_BARE[item])
    if item == "drop":
        return attribute(odp.DROP, bytes(4))
    name, body = key_text.name_and_body(item)
    if name not in PARSERS:
        raise ValueError(f"{name}: unknown action")
    return PARSERS[name](body)


def _parse(text: str) -> bytes:
    if text.strip() == "drop":
        return b""
    return b"".join(_parse_one(item) for item in key_text.split(text))


def parse_actions(text: str) -> bytes:
    """The bytes of an action list; "drop" alone is the empty list.

    ValueError says what is wrong."""
    try:
        actions = _parse(text)
    except (struct.error, OverflowError) as error:
        raise ValueError(f"{text}: {error}") from error
    odp.check_actions(actions)
    return actions
