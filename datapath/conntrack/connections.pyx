"""The table of connections as the control thread has it: dumps, flushes, limits, policies."""

import os
from ipaddress import ip_address

from libc.string cimport memcpy, memset, strncmp
from posix.unistd cimport close
from cpython.bytes cimport PyBytes_FromStringAndSize

from datapath.actions.odp cimport ALG_FTP, ALG_TFTP, ct_action
from datapath.base.atomic cimport load32
from datapath.base.clock cimport clock_ns
from datapath.base.packet cimport PACKET_HEADROOM, ct_metadata, packet, packet_init, vnet_hdr
from datapath.base.protocols cimport PROTO_ICMP, PROTO_ICMPV6, PROTO_TCP
from datapath.conntrack.connections cimport *
from datapath.conntrack.fragments cimport (
    FRAG_DEFAULT_MAX, FRAG_LEAST_V4, FRAG_LEAST_V6, FRAG_MAX_MAX, FRAG_MIN_V4, FRAG_MIN_V6,
    FRAG_TIMEOUT,
)
from datapath.conntrack.table cimport *
from datapath.conntrack.track cimport ct_track
from datapath.key.flow cimport KEY_SIZE, flow_extract, flow_key

from datapath.base import drops
from datapath.conntrack import policies

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t htons(uint16_t)
    uint16_t ntohs(uint16_t)
    uint32_t htonl(uint32_t)
    uint32_t ntohl(uint32_t)

cdef enum:
    PARTS = 256                 # of the hash, in buckets()
    MAX_FRAME = 65536 + 2 * PACKET_HEADROOM

HELPERS = {<int> ALG_FTP: "ftp", <int> ALG_TFTP: "tftp"}
TIMEOUTS = tuple(policies.DEFAULTS)


cdef bint _is_icmp(const ct_tuple *t) noexcept:
    return t.proto == (PROTO_ICMP if t.family == 4 else PROTO_ICMPV6)


cdef dict _tuple(const ct_tuple *t):
    cdef int size = 4 if t.family == 4 else 16
    found = {
        "src": str(ip_address(PyBytes_FromStringAndSize(<const char *> t.src, size))),
        "dst": str(ip_address(PyBytes_FromStringAndSize(<const char *> t.dst, size))),
        "proto": t.proto,
    }
    if _is_icmp(t):
        found.update(id=ntohs(t.src_port), type=ntohs(t.dst_port) >> 8, code=ntohs(t.dst_port) & 255)
    else:
        found.update(src_port=ntohs(t.src_port), dst_port=ntohs(t.dst_port))
    return found


cdef dict _row(const conn *c, uint64_t now):
    row = {
        "zone": c.way[0].zone, "id": c.id, "orig": _tuple(&c.way[0]), "reply": _tuple(&c.way[1]),
        "timeout": (c.expiration - now) // 1000 if c.expiration > now else 0,
        "mark": ntohl(c.mark),
        "label": PyBytes_FromStringAndSize(<const char *> c.label, 16).hex(),
        "helper": HELPERS.get(c.alg),
        "related": _tuple(&c.parent) if c.flags & CONN_RELATED else None,
    }
    if c.way[0].proto == PROTO_TCP:
        row["tcp"] = [[c.peer[0].state, c.peer[0].wscale], [c.peer[1].state, c.peer[1].wscale]]
    return row


cdef int _number(where, name, int bits) except -1:
    value = where[name]
    if type(value) is not int or not 0 <= value < 1 << bits:
        raise ValueError(f"{name}={value}: out of range")
    return value


cdef int _tuple_filter(given, ct_tuple *value, ct_tuple *mask) except -1:
    """Members of a tuple that are given, as values and masks."""
    cdef bytes address
    known = {"src", "dst", "proto", "src_port", "dst_port", "id", "type", "code"}
    if not isinstance(given, dict) or not known.issuperset(given):
        raise ValueError("a tuple has src, dst, proto, src_port, dst_port, id, type, code")
    for name in ("src", "dst"):
        if name not in given:
            continue
        address = ip_address(given[name]).packed
        memcpy(&value.src[0] if name == "src" else &value.dst[0], <const char *> address,
               len(address))
        memset(&mask.src[0] if name == "src" else &mask.dst[0], 0xff, 16)
        value.family = 4 if len(address) == 4 else 6
        mask.family = 0xff
    if "proto" in given:
        value.proto = _number(given, "proto", 8)
        mask.proto = 0xff
    if "src_port" in given or "id" in given:
        value.src_port = htons(_number(given, "src_port" if "src_port" in given else "id", 16))
        mask.src_port = 0xffff
    if "dst_port" in given:
        value.dst_port = htons(_number(given, "dst_port", 16))
        mask.dst_port = 0xffff
    elif "type" in given or "code" in given:
        value.dst_port = htons((_number(given, "type", 8) << 8 if "type" in given else 0)
                               | (_number(given, "code", 8) if "code" in given else 0))
        mask.dst_port = htons((0xff00 if "type" in given else 0) | (0xff if "code" in given else 0))
    return 0


cdef int _filter(match, conn_filter *f) except -1:
    cdef bytes words
    memset(f, 0, sizeof(conn_filter))
    if not {"zone", "orig", "reply", "mark", "label"}.issuperset(match):
        raise ValueError("connections are named by zone, orig, reply, mark and label")
    match = {name: value for name, value in match.items() if value is not None}
    f.any_zone = "zone" not in match
    if not f.any_zone:
        f.zone = _number(match, "zone", 16)
    if "orig" in match:
        _tuple_filter(match["orig"], &f.value[0], &f.mask[0])
    if "reply" in match:
        _tuple_filter(match["reply"], &f.value[1], &f.mask[1])
    if "mark" in match:
        value, mask = match["mark"]
        f.mark, f.mark_mask = htonl(value), htonl(mask)
    if "label" in match:
        value, mask = match["label"]
        words = int(value, 16).to_bytes(16, "big") + int(mask, 16).to_bytes(16, "big")
        memcpy(f.label, <const char *> words, 16)
        memcpy(f.label_mask, <const char *> words + 16, 16)
    return 0


cdef bint _covers(const uint8_t *value, const uint8_t *mask, const uint8_t *found,
                  size_t size) noexcept:
    cdef size_t i
    for i in range(size):
        if (found[i] ^ value[i]) & mask[i]:
            return False
    return True


cdef bint _matches(const conn_filter *f, const conn *c) noexcept:
    cdef int i
    if not f.any_zone and c.way[0].zone != f.zone:
        return False
    if (c.mark ^ f.mark) & f.mark_mask or not _covers(f.label, f.label_mask, c.label, 16):
        return False
    for i in range(2):
        if not _covers(<const uint8_t *> &f.value[i], <const uint8_t *> &f.mask[i],
                       <const uint8_t *> &c.way[i], sizeof(ct_tuple)):
            return False
    return True


cdef class Connections:
    def __cinit__(self, fd=None):
        cdef int error, number
        self.fragments.v4 = self.fragments.v6 = True
        self.fragments.min_v4 = FRAG_MIN_V4
        self.fragments.min_v6 = FRAG_MIN_V6
        self.fragments.most = FRAG_DEFAULT_MAX
        self.fragments.timeout = FRAG_TIMEOUT
        self.fd = os.memfd_create("conntrack", os.MFD_CLOEXEC) if fd is None else os.dup(fd)
        number = self.fd
        error = tracker_map(&self.t, number, fd is None)
        if error:
            raise OSError(error, os.strerror(error))
        if fd is None:
            self.default_policy({})

    def __dealloc__(self):
        tracker_unmap(&self.t)
        if self.fd >= 0:
            close(self.fd)

    def __len__(self):
        return self.t.count

    @property
    def high(self):
        return load32(&self.t.head.high)

    @property
    def limit(self):
        return self.t.head.limit

    @limit.setter
    def limit(self, value):
        if type(value) is not int or not 0 <= value < 1 << 32:
            raise ValueError(f"{value}: not a number of connections")
        self.t.head.limit = value

    @property
    def capacity(self):
        return self.t.head.capacity

    @property
    def tcp_seq_chk(self):
        return not self.t.head.no_seq_check

    @tcp_seq_chk.setter
    def tcp_seq_chk(self, value):
        self.t.head.no_seq_check = not value

    def stats(self):
        return {"connections": self.t.count, **self.t.counters}

    def sweep(self, uint32_t n, uint64_t now):
        return ct_sweep(&self.t, n, now)

    def dump(self, uint32_t cursor, uint32_t n, zone=None, now=None):
        cdef uint32_t i, end = min(<uint64_t> cursor + n, <uint64_t> load32(&self.t.head.high))
        cdef uint64_t ms = clock_ns() // 1000000 if now is None else now
        cdef conn copy
        cdef conn *c
        rows = []
        for i in range(cursor, end):
            c = &self.t.conns[i]
            if not load32(&c.used):
                continue
            conn_copy(&copy, c)
            if copy.used and copy.expiration > ms and (zone is None or copy.way[0].zone == zone):
                rows.append(_row(&copy, ms))
        return rows, end if end < load32(&self.t.head.high) else None

    def flush(self, uint32_t cursor, uint32_t n, match):
        cdef uint32_t i, end = min(<uint64_t> cursor + n, <uint64_t> load32(&self.t.head.high))
        cdef conn_filter f
        cdef conn copy
        cdef conn *c
        cdef uint32_t removed = 0
        _filter(match, &f)
        for i in range(cursor, end):
            c = &self.t.conns[i]
            if not load32(&c.used):
                continue
            conn_copy(&copy, c)
            if copy.used and _matches(&f, &copy):
                removed += ct_remove(&self.t, c, copy.id)
        return removed, end if end < load32(&self.t.head.high) else None

    def buckets(self):
        cdef uint32_t i, j, at
        cdef uint32_t size = (self.t.mask + 1) // PARTS
        counts = []
        for i in range(PARTS):
            n = 0
            for j in range(i * size, (i + 1) * size):
                n += self.t.buckets[j] != 0
            counts.append(n)
        return counts

    # --- limits of zones

    def limits(self, zones=None):
        cdef uint32_t zone
        if zones is None:
            zones = [zone for zone in range(CT_ZONES) if self.t.head.zone_limit[zone]]
        found = []
        for number in zones:
            zone = _zone(number)
            limit = self.t.head.zone_limit[zone]
            limit = limit - 1 if limit else self.t.head.default_zone_limit
            found.append((zone, limit, self.t.zone_count[zone]))
        return self.t.head.default_zone_limit, found

    def set_limit(self, zone, limit):
        if type(limit) is not int or not 0 <= limit < 0xffffffff:
            raise ValueError(f"{limit}: not a limit")
        if zone is None:
            self.t.head.default_zone_limit = limit
        else:
            self.t.head.zone_limit[_zone(zone)] = limit + 1

    def delete_limit(self, zone):
        self.t.head.zone_limit[_zone(zone)] = 0

    # --- timeout policies

    cdef int _find(self, bytes name):
        cdef int i
        for i in range(1, CT_MAX_POLICIES):
            if strncmp(self.t.head.policies[i].name, name, CT_NAME) == 0:
                return i
        return 0

    cdef int _fill(self, int i, timeouts) except -1:
        values = {**policies.DEFAULTS, **timeouts}
        for at, name in enumerate(TIMEOUTS):
            self.t.head.policies[i].timeouts[<int> at] = values[name]
        return 0

    def default_policy(self, timeouts):
        policies.check(timeouts)
        self._fill(0, timeouts)

    def set_policy(self, name, timeouts):
        cdef bytes raw = name.encode()
        cdef int i
        policies.check(timeouts)
        if not 0 < len(raw) < CT_NAME:
            raise ValueError(f"{name}: a policy's name has {<int> CT_NAME - 1} bytes at most")
        i = self._find(raw) or self._find(b"")
        if not i:
            raise ValueError(f"more than {<int> CT_MAX_POLICIES - 1} timeout policies")
        self._fill(i, timeouts)
        memset(self.t.head.policies[i].name, 0, CT_NAME)
        memcpy(self.t.head.policies[i].name, <const char *> raw, len(raw))

    def delete_policy(self, name):
        cdef int i = self._find(name.encode()) if name else 0
        if not i:
            raise KeyError(name)
        memset(self.t.head.policies[i].name, 0, CT_NAME)

    def policies(self):
        cdef int i
        cdef ct_policy *policy
        found = {}
        for i in range(1, CT_MAX_POLICIES):
            policy = &self.t.head.policies[i]
            if policy.name[0]:
                found[(<bytes> policy.name).decode()] = {
                    name: policy.timeouts[<int> at] for at, name in enumerate(TIMEOUTS)}
        return found

    # --- fragments

    def fragment_settings(self):
        return {"v4": bool(self.fragments.v4), "v6": bool(self.fragments.v6),
                "min_v4": self.fragments.min_v4, "min_v6": self.fragments.min_v6,
                "most": self.fragments.most}

    def set_fragments(self, v4=None, v6=None, min_v4=None, min_v6=None, most=None):
        if min_v4 is not None and not FRAG_LEAST_V4 <= min_v4 <= 65535:
            raise ValueError(f"{min_v4}: not a least size of IPv4 fragments")
        if min_v6 is not None and not FRAG_LEAST_V6 <= min_v6 <= 65535:
            raise ValueError(f"{min_v6}: not a least size of IPv6 fragments")
        if most is not None and not 0 <= most <= FRAG_MAX_MAX:
            raise ValueError(f"{most}: more fragments than {<int> FRAG_MAX_MAX}")
        self.fragments.v4 = self.fragments.v4 if v4 is None else bool(v4)
        self.fragments.v6 = self.fragments.v6 if v6 is None else bool(v6)
        self.fragments.min_v4 = self.fragments.min_v4 if min_v4 is None else min_v4
        self.fragments.min_v6 = self.fragments.min_v6 if min_v6 is None else min_v6
        self.fragments.most = self.fragments.most if most is None else most

    # --- for tests

    def track(self, frame, action, uint64_t now, ct=None, vnet=None, uint64_t random=0):
        cdef bytes raw = bytes(frame), payload = bytes(action)
        cdef uint8_t[::1] buffer = bytearray(MAX_FRAME)
        cdef packet p
        cdef flow_key key
        cdef int lost
        cdef bytes before
        if len(raw) > 65535 or len(payload) != sizeof(ct_action):
            raise ValueError("a frame, and a struct ct_action")
        packet_init(&p, &buffer[0], MAX_FRAME, PACKET_HEADROOM, <uint32_t> len(raw))
        memcpy(p.data, <const char *> raw, len(raw))
        if vnet is not None:
            p.vnet = vnet
        if ct is not None:
            before = ct["raw"]
            memcpy(&p.ct, <const char *> before, sizeof(ct_metadata))
        memset(&key, 0, sizeof(key))
        flow_extract(&p, &key)
        lost = ct_track(&self.t, &p, &key, <const ct_action *> <const char *> payload, random, now)
        told = {
            "state": ntohl(p.ct.state), "zone": ntohs(p.ct.zone), "mark": ntohl(p.ct.mark),
            "label": PyBytes_FromStringAndSize(<const char *> p.ct.label, 16).hex(),
            "raw": PyBytes_FromStringAndSize(<const char *> &p.ct, sizeof(ct_metadata)),
        }
        return (PyBytes_FromStringAndSize(<const char *> p.data, p.size), told,
                None if lost < 0 else drops.NAMES[lost])


cdef uint32_t _zone(number) except? 0xffffffff:
    if type(number) is not int or not 0 <= number < CT_ZONES:
        raise ValueError(f"{number}: not a zone")
    return number
