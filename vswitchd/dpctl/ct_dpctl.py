"""The commands of ovs-dpctl(8) about connections and fragments, in Open vSwitch's text.

As in dpctl.py: each takes a Run and the words behind the command's name.
"""

from typing import Any

from datapath.ipc.dpif import DpifError
from pyvs import digits, identity

PROTOCOLS = {
    1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 33: "dccp", 58: "icmpv6", 132: "sctp", 136: "udplite"
}  # fmt: skip
TCP_STATES = (
    "CLOSED", "LISTEN", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "FIN_WAIT_1",
    "CLOSING", "LAST_ACK", "FIN_WAIT_2", "TIME_WAIT",
)  # fmt: skip
# States that the kernel's tracker does not tell apart from others.
ALIKE = {"FIN_WAIT_2": "TIME_WAIT", "SYN_RECV": "ESTABLISHED"}
WSCALE_SHIFT, WSCALE_UNKNOWN, WSCALE_GIVEN = 0x0F, 0x40, 0x80
ICMPS = (1, 58)
# Name in a tuple's text -> member, bits; addresses have none.
FIELDS = {
    "ct_nw_src": ("src", 0), "ct_nw_dst": ("dst", 0), "ct_ipv6_src": ("src", 0),
    "ct_ipv6_dst": ("dst", 0), "ct_nw_proto": ("proto", 8), "ct_tp_src": ("src_port", 16),
    "ct_tp_dst": ("dst_port", 16), "icmp_id": ("id", 16), "icmp_type": ("type", 8),
    "icmp_code": ("code", 8),
}  # fmt: skip
ZONE_LIMIT = {"zone": 16, "limit": 32}  # bits
HIGHEST_LIMIT = 0xFFFFFFFE
NO_DATAPATH = "datapath not found"  # what a word would be that is nothing else


class CtError(ValueError):
    """A word that makes no sense; its text is for the user."""


# --- text of a connection


def _tuple(row: dict[str, Any]) -> str:
    if "id" in row:
        rest = f"id={row['id']},type={row['type']},code={row['code']}"
    else:
        rest = f"sport={row['src_port']},dport={row['dst_port']}"
    return f"src={row['src']},dst={row['dst']},{rest}"


def tcp_state(row: dict[str, Any]) -> str:
    """The one state that is shown for the states of both ends."""
    state = TCP_STATES[max(peer[0] for peer in row["tcp"])]
    return ALIKE.get(state, state)


def _tcp(row: dict[str, Any], more: bool) -> str:
    if not more:
        return f"state={tcp_state(row)}"
    ends = row["tcp"]
    texts = [f"state_{w}={TCP_STATES[e[0]]}" for w, e in zip(("orig", "reply"), ends, strict=True)]
    scales = [end[1] & WSCALE_SHIFT for end in ends]
    if any(scales):
        texts += [f"wscale_orig={scales[0]}", f"wscale_reply={scales[1]}"]
    for way, (_, wscale) in zip(("orig", "reply"), ends, strict=True):
        flags = [
            name
            for name, bit in (("WINDOW_SCALE", WSCALE_GIVEN), ("BE_LIBERAL", WSCALE_UNKNOWN))
            if wscale & bit
        ]
        texts.append(f"flags_{way}={'|'.join(flags) or 0}")
    return ",".join(texts)


def connection_text(row: dict[str, Any], more: bool = False, statistics: bool = False) -> str:
    """One line of dump-conntrack."""
    proto = row["orig"]["proto"]
    parts = [PROTOCOLS.get(proto, str(proto))]
    parts += [f"orig=({_tuple(row['orig'])})", f"reply=({_tuple(row['reply'])})"]
    if more:
        parts.append(f"id={row['id']}")
    if row["zone"]:
        parts.append(f"zone={row['zone']}")
    if more:
        parts.append("status=0")  # of Linux' conntrack; in userspace none of it is used
    if statistics:
        parts.append(f"timeout={row['timeout']}")
    if row["mark"]:
        parts.append(f"mark={row['mark']}")
    if int(row["label"], 16):
        parts.append(f"labels={int(row['label'], 16):#x}")
    if "tcp" in row:
        parts.append(f"protoinfo=({_tcp(row, more)})")
    if row["helper"]:
        parts.append(f"helper={row['helper']}")
    if more and row["related"]:
        parts.append(f"parent=({_tuple(row['related'])})")
    return ",".join(parts)


# --- reading words


def _number(text: str, bits: int, what: str) -> int:
    found = digits.number(text, (1 << bits) - 1)
    if found is None:
        raise CtError(f"{what} (Invalid argument)")
    return found


def _option(words: list[str], name: str) -> str | None:
    """Take NAME=... out of the words."""
    for word in words:
        if word.startswith(f"{name}="):
            words.remove(word)
            return word.partition("=")[2]
    return None


def _zone(words: list[str], name: str = NO_DATAPATH) -> int | None:
    text = _option(words, "zone")
    return None if text is None else _number(text, 16, name)


def _address(text):
    from ipaddress import ip_address

    return str(ip_address(text))


def parse_tuple(text: str) -> dict[str, Any]:
    """ct_nw_src=..,ct_tp_dst=..: some members of a tuple; CtError."""
    found: dict[str, Any] = {}
    for part in filter(None, text.replace(" ", ",").split(",")):
        name, equals, value = part.partition("=")
        if not equals:
            raise CtError(f"field {name} missing value")
        if name not in FIELDS:
            raise CtError(f"invalid conntrack tuple field: {name}")
        member, bits = FIELDS[name]
        if member in found:
            raise CtError(f"{name} is set multiple times")
        try:
            found[member] = _number(value, bits, name) if bits else _address(value)
        except ValueError:
            raise CtError(f"failed to parse field {name}") from None
        if len({":" in found[name] for name in ("src", "dst") if name in found}) > 1:
            raise CtError(f"the L3 protocol does not match {value}")
    if any(member in found for member in ("id", "type", "code")) and (
        found.get("proto") not in ICMPS
    ):
        raise CtError("invalid L4 fields")
    return found


# --- commands


def dump(run, words):
    """dump-conntrack [-m] [-s] [zone=N]"""
    words = list(words)
    zone = _zone(words)
    _none_left(words)
    if run.wants_json():
        found = []
        for row in run.dpif.ct_dump(zone):
            found.append(row)
            yield
        run.print_json(found)
        return
    for number, row in enumerate(run.dpif.ct_dump(zone)):
        run.print(connection_text(row, "more" in run, "statistics" in run) + "\n")
        if number % 100 == 0:
            yield


def _none_left(words):
    if words:
        raise CtError(f"{NO_DATAPATH} (Invalid argument)")


def _masked(words: list[str], name: str, bits: int) -> tuple[int, int] | None:
    """NAME=VALUE[/MASK], taken out of the words; bits behind no mask are all looked at."""
    text = _option(words, name)
    if text is None:
        return None
    value, slash, mask = text.partition("/")
    try:
        found = int(value, 0), int(mask, 0) if slash else (1 << bits) - 1
    except ValueError:
        raise CtError(f"{name}: {text} is not VALUE[/MASK]") from None
    if not all(0 <= number < 1 << bits for number in found):
        raise CtError(f"{name}: {text} has more than {bits} bits")
    return found


def flush(run, words):
    """flush-conntrack [zone=N] [mark=X[/M]] [labels=X[/M]] [ct-orig-tuple] [ct-reply-tuple]"""
    words = list(words)
    zone = _zone(words, "failed to parse zone")
    mark, labels = _masked(words, "mark", 32), _masked(words, "labels", 128)
    label = None if labels is None else tuple(f"{number:032x}" for number in labels)
    if len(words) > 2:
        raise CtError("invalid arguments")
    try:
        tuples = [parse_tuple(word) or None for word in words] + [None, None]
    except CtError as error:
        raise CtError(f"{error} (Invalid argument)") from None
    if tuples[1] and tuples[0] and "proto" in tuples[0]:
        tuples[1].setdefault("proto", tuples[0]["proto"])
    found = {"zone": zone, "mark": mark, "label": label, "orig": tuples[0], "reply": tuples[1]}
    count = 0
    for piece in run.dpif.ct_flush_pieces(**found):
        count += piece
        yield
    if not count and _names_one(tuples[0]) and (mark, labels, tuples[1]) == (None, None, None):
        raise CtError("failed to flush conntrack (No such file or directory)")


def _names_one(members: dict[str, Any] | None) -> bool:
    """Whether a tuple is of one connection: who asks for that is told where there is none."""
    if members is None:
        return False
    ports = ("id", "type", "code") if members.get("proto") in ICMPS else ("src_port", "dst_port")
    return all(member in members for member in ("src", "dst", "proto", *ports))


def stats_show(run, words):
    """ct-stats-show [-m] [zone=N]"""
    words = list(words)
    more = "more" in run or "verbose" in words
    words = [word for word in words if word != "verbose"]
    zone = _zone(words)
    _none_left(words)
    counts: dict[str, int] = {}
    states: dict[str, int] = {}
    total = 0
    for row in run.dpif.ct_dump(zone):
        total += 1
        name = {1: "ICMP", 2: "IGMP", 6: "TCP", 17: "UDP", 33: "DCCP", 132: "SCTP"}.get(
            row["orig"]["proto"], "UDPLITE" if row["orig"]["proto"] == 136 else "Other"
        )
        if row["orig"]["proto"] != 58:  # counted in all, and nowhere else, as there
            counts[name] = counts.get(name, 0) + 1
        if "tcp" in row:
            states[tcp_state(row)] = states.get(tcp_state(row), 0) + 1
        if total % 100 == 0:
            yield
    run.print(f"Connections Stats:\n    Total: {total}\n")
    for name in ("TCP", "UDP", "UDPLITE", "SCTP", "ICMP", "DCCP", "IGMP", "Other"):
        if name in counts:
            run.print(f"  {name}: {counts[name]}\n")
        if name == "TCP" and more and states:
            run.print("    Conn per TCP states:\n")
            for state in (state for state in TCP_STATES if state in states):
                run.print(f"\t  [{state}]={states[state]}\n")


def buckets(run, words):
    """ct-bkts [gt=N]"""
    words = list(words)
    least = _number(_option(words, "gt") or "0", 16, NO_DATAPATH)
    _none_left(words)
    connections = run.dpif.ct_stats()["connections"]
    # Open vSwitch's userspace datapath has all in one bucket, and shows it while it is not empty.
    counts = [connections] if identity.is_ovs() else run.dpif.ct_buckets()
    run.print(f"Total Buckets: {len(counts)}\n")
    run.print(f"Current Connections: {connections}\n\n")
    if counts == [0]:
        return
    line = "+-----------+-----------------------------------------+\n"
    run.print(f"{line}|  Buckets  |         Connections per Buckets         |\n{line.rstrip()}")
    for i in range(0, len(counts), 8):
        cells = "".join(f"{n:5}" if n > least else "    ." for n in counts[i : i + 8])
        run.print(f"\n {i:3}..{i + 7:3}   | {cells}")
    run.print("\n\n")


def set_maxconns(run, words):
    """ct-set-maxconns N"""
    wanted = _number(words[0], 32, "maxconns missing or malformed")
    run.dpif.ct_set(maxconns=wanted)
    run.print("setting maxconns successful\n")
    if wanted > (capacity := run.dpif.ct_get()["capacity"]):
        run.print(f"there will be {capacity} at most, for which there is room\n")


def get_maxconns(run, _words):
    run.print(f"{run.dpif.ct_get()['maxconns']}\n")


def get_nconns(run, _words):
    run.print(f"{run.dpif.ct_stats()['connections']}\n")


def enable_tcp_seq_chk(run, _words):
    run.dpif.ct_set(tcp_seq_chk=True)
    run.print("enabling TCP sequence checking successful\n")


def disable_tcp_seq_chk(run, _words):
    run.dpif.ct_set(tcp_seq_chk=False)
    run.print("disabling TCP sequence checking successful\n")


def get_tcp_seq_chk(run, _words):
    state = "enabled" if run.dpif.ct_get()["tcp_seq_chk"] else "disabled"
    run.print(f"TCP sequence checking: {state}\n")


def set_sweep_interval(run, words):
    """ct-set-sweep-interval MS"""
    run.dpif.ct_set(sweep_interval=_number(words[0], 32, "sweep interval missing or malformed"))
    run.print("setting sweep interval successful\n")


def get_sweep_interval(run, _words):
    run.print(f"{run.dpif.ct_get()['sweep_interval']}\n")


def _limit(text: str, bits: int, what: str) -> int:
    """A number of so many bits; one below 0 counts from their end, so that -1 is the highest."""
    negative = text.startswith("-")
    number = _number(text[negative:], bits, what)
    return min(-number % (1 << bits), HIGHEST_LIMIT) if negative else number


def _zone_limit(text: str) -> tuple[int, int]:
    """zone=N,limit=L, in any order."""
    found: dict[str, int] = {}
    for part in filter(None, text.replace(" ", ",").split(",")):
        name, _, value = part.partition("=")
        if not value:
            raise CtError(f"field {name} missing value (Invalid argument)")
        if name not in ZONE_LIMIT:
            raise CtError(f"invalid zone limit field: {name} (Invalid argument)")
        what = f"failed to parse field {name}"
        found[name] = (_limit if name == "limit" else _number)(value, ZONE_LIMIT[name], what)
    if len(found) < len(ZONE_LIMIT):
        raise CtError("failed to parse zone limit (Invalid argument)")
    return found["zone"], found["limit"]


def set_limits(run, words):
    """ct-set-limits [default=L] [zone=N,limit=L]..."""
    limits: list[tuple[int | None, int]] = []
    for word in words:
        if word.startswith("default=") and word is words[0]:
            limits.append((None, _limit(word[8:], 32, "invalid default limit")))
        else:
            limits.append(_zone_limit(word))
    run.dpif.ct_limits_set(limits)


def _zones(words):
    if not words:
        return None
    if not words[0].startswith("zone="):
        raise CtError(f"invalid argument {words[0]} (Invalid argument)")
    return [_number(text, 16, "invalid zone") for text in words[0][5:].split(",")]


def get_limits(run, words):
    """ct-get-limits [zone=N1[,N2]...]"""
    default, limits = run.dpif.ct_limits(_zones(words))
    run.print(f"default limit={default}\n")
    for zone, limit, count in limits:
        run.print(f"zone={zone},limit={limit},count={count}\n")


def del_limits(run, words):
    """ct-del-limits zone=N1[,N2]..."""
    run.dpif.ct_limits_del(_zones(words))


# --- fragments


def _family(word, what="'v4' for IPv4 or 'v6' for IPv6"):
    if word not in ("v4", "v6"):
        raise CtError(f"parameter missing: {what} (Invalid argument)")
    return word


def ipf_set_enabled(run, words):
    """ipf-set-enabled v4|v6"""
    run.dpif.ipf_set(**{_family(words[0]): True})
    run.print("enabling fragmentation reassembly successful\n")


def ipf_set_disabled(run, words):
    """ipf-set-disabled v4|v6"""
    run.dpif.ipf_set(**{_family(words[0]): False})
    run.print("disabling fragmentation reassembly successful\n")


def ipf_set_min_frag(run, words):
    """ipf-set-min-frag v4|v6 N"""
    size = _number(words[1], 16, "parameter missing for minimum fragment size")
    family = _family(words[0], "v4 for IPv4 or v6 for IPv6")
    try:
        run.dpif.ipf_set(**{f"min_{family}": size})
    except DpifError:
        raise CtError(
            "requested minimum fragment size too small; see documentation (Operation not permitted)"
        ) from None
    run.print("setting minimum fragment size successful\n")


def ipf_set_max_nfrags(run, words):
    """ipf-set-max-nfrags N"""
    most = _number(words[0], 32, "parameter missing for maximum fragments")
    try:
        run.dpif.ipf_set(most=most)
    except DpifError:
        raise CtError("setting maximum fragments failed (Operation not permitted)") from None
    run.print("setting maximum fragments successful\n")


def _waiting(row):
    which = "/".join(name for name in ("first", "last") if row[name]) or "other"
    kind = "0x86dd" if ":" in row["src"] else "0x800"
    return (
        f"(src={row['src']},dst={row['dst']},recirc_id={row['recirc_id']},ip_id={row['id']},"
        f"dl_type={kind},zone={row['zone']},nw_proto={row['proto']},"
        f"num_fragments={row['fragments']},state={which} frag)\n"
    )


def ipf_get_status(run, _words):
    """ipf-get-status; with -m, what waits, too"""
    status = run.dpif.ipf_get()
    lines = ["Fragmentation Module Status", "---------------------------"]
    lines += [f"{v} enabled: {int(status[v])}" for v in ("v4", "v6")]
    lines += [f"max num frags (v4/v6): {status['most']}", f"num frag: {status['waiting']}"]
    for i, v in enumerate(("v4", "v6")):
        lines.append(f"min {v} frag size: {status[f'min_{v}']}")
        for label in ("accepted", "completed", "expired", "too small", "overlapped", "purged"):
            lines.append(f"{v} frags {label}: {status['counters'][label][i]}")
    for line in lines:
        run.print(f"        {line}\n")
    if "more" in run:
        run.print("\n        Fragment Lists:\n\n")
        for row in run.dpif.ipf_list():
            run.print(_waiting(row))


# as dpctl.COMMANDS
COMMANDS = {
    "dump-conntrack": (dump, 0, 2, False),
    "flush-conntrack": (flush, 0, 5, True),
    "ct-stats-show": (stats_show, 0, 2, False),
    "ct-bkts": (buckets, 0, 1, False),
    "ct-set-maxconns": (set_maxconns, 1, 1, True),
    "ct-get-maxconns": (get_maxconns, 0, 0, False),
    "ct-get-nconns": (get_nconns, 0, 0, False),
    "ct-enable-tcp-seq-chk": (enable_tcp_seq_chk, 0, 0, True),
    "ct-disable-tcp-seq-chk": (disable_tcp_seq_chk, 0, 0, True),
    "ct-get-tcp-seq-chk": (get_tcp_seq_chk, 0, 0, False),
    "ct-set-sweep-interval": (set_sweep_interval, 1, 1, True),
    "ct-get-sweep-interval": (get_sweep_interval, 0, 0, False),
    "ct-set-limits": (set_limits, 1, None, True),
    "ct-get-limits": (get_limits, 0, 1, False),
    "ct-del-limits": (del_limits, 1, 1, True),
    "ipf-set-enabled": (ipf_set_enabled, 1, 1, True),
    "ipf-set-disabled": (ipf_set_disabled, 1, 1, True),
    "ipf-set-min-frag": (ipf_set_min_frag, 2, 2, True),
    "ipf-set-max-nfrags": (ipf_set_max_nfrags, 1, 1, True),
    "ipf-get-status": (ipf_get_status, 0, 0, False),
}
