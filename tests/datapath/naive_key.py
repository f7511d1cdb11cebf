"""The flow key's extraction once more, written plainly: the oracle of the compiled one.

`extract(frame)` gives the members that are not zero, as integers; bytes are read by slices, and a
slice that comes out short ends its layer.
"""

import struct

VLANS = (0x8100, 0x88A8, 0x9100)


def extract(frame: bytes) -> dict[str, int]:
    key: dict[str, int] = {}
    if len(frame) >= 14:
        _ethernet(frame, key)
    return {name: value for name, value in key.items() if value}


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _ethernet(frame: bytes, key: dict[str, int]) -> None:
    key["eth_dst"], key["eth_src"] = _number(frame[:6]), _number(frame[6:12])
    rest = frame[12:]
    for level in range(2):
        if len(rest) < 6 or _number(rest[:2]) not in VLANS:
            break
        key[f"vlan{level}_tpid"] = _number(rest[:2])
        key[f"vlan{level}_tci"] = _number(rest[2:4]) | 0x1000
        rest = rest[4:]
    kind, rest = _number(rest[:2]), rest[2:]
    if kind < 0x600:
        if rest[:6] == b"\xaa\xaa\x03\0\0\0" and len(rest) >= 8 and _number(rest[6:8]) >= 0x600:
            kind, rest = _number(rest[6:8]), rest[8:]
        else:
            kind = 0x5FF
    key["eth_type"] = kind
    layers = {0x800: _ipv4, 0x86DD: _ipv6, 0x806: _arp, 0x8035: _arp, 0x8847: _mpls, 0x8848: _mpls}
    layers |= {0x88E7: _pbb, 0x894F: _nsh}
    if kind in layers:
        layers[kind](rest, key)


def _arp(data: bytes, key: dict[str, int]) -> None:
    if len(data) < 28 or data[:6] != bytes.fromhex("000108000604"):
        return
    _, op, sha, spa, tha, tpa = struct.unpack("!6sH6s4s6s4s", data[:28])
    key.update(nw_proto=op if op < 256 else 0, nw_src=_number(spa), nw_dst=_number(tpa))
    key.update(arp_sha=_number(sha), arp_tha=_number(tha))


def _mpls(data: bytes, key: dict[str, int]) -> None:
    for level in range(3):
        if len(data) < 4:
            return
        lse, data = _number(data[:4]), data[4:]
        key[f"mpls_lse{level}"] = lse
        if lse & 0x100:
            return


def _pbb(data: bytes, key: dict[str, int]) -> None:
    if len(data) >= 4 + 6 + 6 + 2:
        key["pbb_isid"] = _number(data[:4]) & 0x8FFFFFF  # UCA and I-SID


def _nsh(data: bytes, key: dict[str, int]) -> None:
    if len(data) < 8:
        return
    word, size = _number(data[:2]), (data[1] & 63) * 4
    if word >> 14 or not 8 <= size <= len(data) or (data[2] == 1 and size != 24):
        return
    key.update(nsh_flags=word >> 12 & 3, nsh_ttl=word >> 6 & 63, nsh_mdtype=data[2])
    key.update(nsh_np=data[3], nsh_path_hdr=_number(data[4:8]))
    if data[2] == 1:
        key.update({f"nsh_context{n}": _number(data[8 + 4 * n :][:4]) for n in range(4)})


def _ipv4(data: bytes, key: dict[str, int]) -> None:
    if len(data) < 20:
        return
    header, total = (data[0] & 15) * 4, _number(data[2:4])
    if data[0] >> 4 != 4 or not 20 <= header <= total <= len(data):
        return
    key.update(nw_src=_number(data[12:16]), nw_dst=_number(data[16:20]))
    key.update(nw_tos=data[1], nw_ttl=data[8], nw_proto=data[9])
    fragment = _number(data[6:8]) & 0x3FFF
    key["nw_frag"] = (1 if fragment else 0) | (2 if fragment & 0x1FFF else 0)
    if not fragment & 0x1FFF:
        _l4(data[header:total], data[9], 4, key)


def _ipv6(data: bytes, key: dict[str, int]) -> None:
    if len(data) < 40 or data[0] >> 4 != 6 or 40 + _number(data[4:6]) > len(data):
        return
    word, ttl = _number(data[:4]), data[7]
    key.update(ipv6_src=_number(data[8:24]), ipv6_dst=_number(data[24:40]))
    proto, data = data[6], data[40 : 40 + _number(data[4:6])]
    frag = 0
    chain = [proto]
    while proto in (0, 43, 44, 51, 60):
        if len(data) < 8:
            return
        if proto == 44:
            offset, more = _number(data[2:4]) >> 3, data[3] & 1
            if offset:
                frag, data = 3, data[8:]
                break
            if more:
                frag = 1
            size = 8
        else:
            size = (data[1] + 2) * 4 if proto == 51 else (data[1] + 1) * 8
        if len(data) < size:
            return
        proto, data = data[0], data[size:]
        chain.append(proto)
    key["ipv6_exthdr"] = _extension_flags(chain)
    key.update(ipv6_label=word & 0xFFFFF, nw_tos=word >> 20 & 0xFF, nw_ttl=ttl)
    key.update(nw_proto=proto, nw_frag=frag)
    if frag != 3:
        _l4(data, proto, 6, key)


def _extension_flags(chain: list[int]) -> int:
    """OFPIEH_* of the "next header" numbers in their order."""
    bits = {59: 1, 50: 2, 51: 4, 60: 8, 44: 16, 43: 32}
    known = [proto for proto in chain if proto in bits or proto == 0]
    flags = sum({bits[proto] for proto in known if proto}) | (64 if known[:1] == [0] else 0)
    most = {proto: 2 if proto == 60 else 1 for proto in known}
    repeated = any(known.count(proto) > most[proto] for proto in known)
    # RFC 2460, 4.1: destination options stand in front of the routing header, or last.
    rank = {0: 0, 43: 2, 44: 3, 51: 4, 50: 5}
    order = [
        rank.get(proto, 6 if any(known[:i]) else 1) for i, proto in enumerate(known) if proto != 59
    ]
    return flags | (128 if repeated else 0) | (256 if order != sorted(order) else 0)


def _l4(data: bytes, proto: int, version: int, key: dict[str, int]) -> None:
    least = {6: 20, 17: 8, 132: 12}.get(proto)
    if least is not None:
        header = data[12] >> 4 if proto == 6 and len(data) >= 20 else 5  # in words
        if len(data) >= least and 20 <= 4 * header <= max(20, len(data)):
            key["tp_src"], key["tp_dst"] = struct.unpack("!HH", data[:4])
            if proto == 6:
                key["tcp_flags"] = _number(data[12:14]) & 0xFFF
    elif proto in ((58,) if version == 6 else (1, 2)) and len(data) >= 8:
        key["tp_src"], key["tp_dst"] = data[0], data[1]
        if proto == 2:
            key["igmp_group_ip4"] = _number(data[4:8])
        if proto == 58 and data[0] in (135, 136) and data[1] == 0:
            _nd(data, key)


def _nd(data: bytes, key: dict[str, int]) -> None:
    key["nd_reserved"] = _number(data[4:8])
    if len(data) < 24:
        return
    found = {"arp_sha": 0, "arp_tha": 0, "nd_options_type": 0}
    target, data = _number(data[8:24]), data[24:]
    while len(data) >= 8 and 0 < data[1] * 8 <= len(data):
        if data[0] in (1, 2) and data[1] == 1:
            name = "arp_sha" if data[0] == 1 else "arp_tha"
            if found[name]:
                return
            found[name] = _number(data[2:8])
            found["nd_options_type"] = found["nd_options_type"] or data[0]
        data = data[data[1] * 8 :]
    key.update(found, nd_target=target)
