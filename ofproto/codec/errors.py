"""OpenFlow errors: names, and their codes in each version.

One row per error: its name, then `FIRST[-LAST]=CODE` for each run of versions (wire version
numbers: 1 is OpenFlow 1.0, 4 is 1.3), CODE being `type,code`, `nx:type,code` (the Nicira
vendor error of OpenFlow 1.0 and 1.1), or `nx:code` / `onf:code` (OFPET_EXPERIMENTER of 1.2
and later).  An error that a version lacks is sent as the nearest one that it has.
"""

from struct import Struct

NX_VENDOR_ID = 0x00002320
ONF_VENDOR_ID = 0x4F4E4600
_VENDORS = {"": 0, "nx": NX_VENDOR_ID, "onf": ONF_VENDOR_ID}
_NX_VENDOR_ERROR = 0xB0C2  # error type of the Nicira vendor error in 1.0 and 1.1
_EXPERIMENTER = 0xFFFF  # error type OFPET_EXPERIMENTER

_ROWS = """
NXBAC_BAD_CONJUNCTION                  1-2=nx:2,526 3-6=nx:15
NXBAC_BAD_ED_PROP                      4-6=nx:41
NXBAC_BAD_HEADER_TYPE                  4-6=nx:39
NXBAC_CT_DATAPATH_SUPPORT              1-2=nx:1,265 3-6=nx:42
NXBAC_MUST_BE_ZERO                     1-2=nx:2,256 3-6=nx:11
NXBAC_UNKNOWN_ED_PROP                  4-6=nx:40
NXBMC_CT_DATAPATH_SUPPORT              1-2=nx:1,264 3-6=nx:43
NXBRC_BAD_REASON                       1-2=nx:1,516 3-6=nx:5
NXBRC_FM_BAD_EVENT                     1-2=nx:1,520 3-6=nx:9
NXBRC_MUST_BE_ZERO                     1-2=nx:1,515 3-6=nx:4
NXBRC_NXM_BAD_TYPE                     1-2=nx:1,257 3-6=nx:3
NXBRC_NXM_INVALID                      1-2=nx:1,256 3-6=nx:2
NXBRC_UNENCODABLE_ERROR                1-2=nx:1,521 3-6=nx:10
NXFMFC_BAD_TABLE_ID                    1-2=nx:5,257 3-6=nx:13
NXFMFC_HARDWARE                        1-2=nx:5,256 3-6=nx:12
NXFMFC_INVALID_TLV_FIELD               1-2=nx:1,536 3-6=nx:37
NXQOFC_QUEUE_ERROR                     5-6=nx:23
NXR_NOT_SUPPORTED                      1-2=nx:1,533 3-6=nx:34
NXR_STALE                              1-2=nx:1,534 3-6=nx:35
NXST_NOT_CONFIGURED                    1-2=nx:1,535 3-6=nx:36
NXTFFC_DUP_TABLE                       4-6=nx:44
NXTTMFC_ALREADY_MAPPED                 1-2=nx:1,531 3-6=nx:20
NXTTMFC_BAD_COMMAND                    1-2=nx:1,527 3-6=nx:16
NXTTMFC_BAD_FIELD_IDX                  1-2=nx:1,529 3-6=nx:18
NXTTMFC_BAD_OPT_LEN                    1-2=nx:1,528 3-6=nx:17
NXTTMFC_DUP_ENTRY                      1-2=nx:1,532 3-6=nx:21
NXTTMFC_INVALID_TLV_DEL                1-2=nx:1,537 3-6=nx:38
NXTTMFC_TABLE_FULL                     1-2=nx:1,530 3-6=nx:19
OFPACFC_EPERM                          4=onf:2372 5-6=15,2
OFPACFC_INVALID                        4=onf:2370 5-6=15,0
OFPACFC_UNSUPPORTED                    4=onf:2371 5-6=15,1
OFPBAC_BAD_ARGUMENT                    1-6=2,5
OFPBAC_BAD_LEN                         1-6=2,1
OFPBAC_BAD_METER                       6=2,17
OFPBAC_BAD_OUT_GROUP                   1=nx:2,9 2-6=2,9
OFPBAC_BAD_OUT_PORT                    1-6=2,4
OFPBAC_BAD_QUEUE                       1-6=2,8
OFPBAC_BAD_SET_ARGUMENT                1-2=nx:1,525 3-6=2,15
OFPBAC_BAD_SET_LEN                     1-2=nx:1,524 3-6=2,14
OFPBAC_BAD_SET_MASK                    4-5=onf:4250 6=2,16
OFPBAC_BAD_SET_TYPE                    1-2=nx:1,523 3-6=2,13
OFPBAC_BAD_TAG                         2-6=2,12
OFPBAC_BAD_TYPE                        1-6=2,0
OFPBAC_BAD_VENDOR                      1-6=2,2
OFPBAC_BAD_VENDOR_TYPE                 1-6=2,3
OFPBAC_EPERM                           1-6=2,6
OFPBAC_MATCH_INCONSISTENT              1=nx:1,522 2-6=2,10
OFPBAC_TOO_MANY                        1-6=2,7
OFPBAC_UNSUPPORTED_ORDER               2-6=2,11
OFPBFC_BAD_FLAGS                       4=onf:2307 5-6=17,7
OFPBFC_BAD_ID                          4=onf:2302 5-6=17,2
OFPBFC_BAD_TYPE                        4=onf:2306 5-6=17,6
OFPBFC_BAD_VERSION                     5-6=nx:22
OFPBFC_BUNDLE_CLOSED                   4=onf:2304 5-6=17,4
OFPBFC_BUNDLE_EXIST                    4=onf:2303 5-6=17,3
OFPBFC_BUNDLE_IN_PROGRESS              4=onf:2315 5-6=17,15
OFPBFC_EPERM                           4=onf:2301 5-6=17,1
OFPBFC_MSG_BAD_LEN                     4=onf:2308 5-6=17,8
OFPBFC_MSG_BAD_XID                     4=onf:2309 5-6=17,9
OFPBFC_MSG_CONFLICT                    4=onf:2311 5-6=17,11
OFPBFC_MSG_FAILED                      4=onf:2313 5-6=17,13
OFPBFC_MSG_TOO_MANY                    4=onf:2312 5-6=17,12
OFPBFC_MSG_UNSUP                       4=onf:2310 5-6=17,10
OFPBFC_OUT_OF_BUNDLES                  4=onf:2305 5-6=17,5
OFPBFC_SCHED_FUTURE                    6=17,17
OFPBFC_SCHED_NOT_SUPPORTED             6=17,16
OFPBFC_SCHED_PAST                      6=17,18
OFPBFC_TIMEOUT                         4=onf:2314 5-6=17,14
OFPBFC_UNKNOWN                         4=onf:2300 5-6=17,0
OFPBIC_BAD_EXPERIMENTER                2-6=3,5
OFPBIC_BAD_EXP_TYPE                    2=3,5 3-6=3,6
OFPBIC_BAD_LEN                         3-6=3,7
OFPBIC_BAD_TABLE_ID                    2-6=3,2
OFPBIC_DUP_INST                        2=nx:3,256 3-4=onf:2600 5-6=3,9
OFPBIC_EPERM                           3-6=3,8
OFPBIC_UNKNOWN_INST                    2-6=3,0
OFPBIC_UNSUP_INST                      1=nx:2,257 2-6=3,1
OFPBIC_UNSUP_METADATA                  2-6=3,3
OFPBIC_UNSUP_METADATA_MASK             2-6=3,4
OFPBMC_BAD_DL_ADDR_MASK                2-6=4,3
OFPBMC_BAD_FIELD                       1=nx:0,263 2-6=4,6
OFPBMC_BAD_LEN                         2-6=4,1
OFPBMC_BAD_MASK                        1-2=nx:1,259 3-6=4,8
OFPBMC_BAD_NW_ADDR_MASK                2-6=4,4
OFPBMC_BAD_PREREQ                      1-2=nx:1,260 3-6=4,9
OFPBMC_BAD_TAG                         2-6=4,2
OFPBMC_BAD_TYPE                        2-6=4,0
OFPBMC_BAD_VALUE                       1=nx:1,258 2-6=4,7
OFPBMC_BAD_WILDCARDS                   1=nx:1,262 2-6=4,5
OFPBMC_DUP_FIELD                       1-2=nx:1,261 3-6=4,10
OFPBMC_EPERM                           3-6=4,11
OFPBPC_BAD_EXPERIMENTER                1-2=nx:14,5 3=nx:30 4=onf:4445 5-6=14,5
OFPBPC_BAD_EXP_TYPE                    1-2=nx:14,6 3=nx:31 4=onf:4446 5-6=14,6
OFPBPC_BAD_EXP_VALUE                   1-2=nx:14,7 3=nx:32 4=onf:4447 5-6=14,7
OFPBPC_BAD_LEN                         1-2=nx:13,3 3=nx:26 4=13,3 5-6=14,1
OFPBPC_BAD_TYPE                        1-2=nx:13,2 3=nx:25 4=13,2 5-6=14,0
OFPBPC_BAD_VALUE                       1-2=nx:13,4 3=nx:27 4=13,4 5-6=14,2
OFPBPC_DUP_TYPE                        1-2=nx:14,4 3=nx:29 4=onf:4444 5-6=14,4
OFPBPC_EPERM                           1-2=nx:14,8 3=nx:33 4=onf:4448 5-6=14,8
OFPBPC_TOO_MANY                        1-2=nx:14,3 3=nx:28 4=onf:4443 5-6=14,3
OFPBRC_BAD_LEN                         1-6=1,6
OFPBRC_BAD_PACKET                      3-6=1,12
OFPBRC_BAD_PORT                        1-2=nx:1,514 3-6=1,11
OFPBRC_BAD_STAT                        1-6=1,2
OFPBRC_BAD_SUBTYPE                     1-6=1,4
OFPBRC_BAD_TABLE_ID                    1=nx:1,512 2-6=1,9
OFPBRC_BAD_TYPE                        1-6=1,1
OFPBRC_BAD_VENDOR                      1-6=1,3
OFPBRC_BAD_VERSION                     1-6=1,0
OFPBRC_BUFFER_EMPTY                    1-6=1,7
OFPBRC_BUFFER_UNKNOWN                  1-6=1,8
OFPBRC_EPERM                           1-6=1,5
OFPBRC_IS_SECONDARY                    1-2=1,5 3-6=1,10
OFPBRC_MULTIPART_BAD_SCHED             6=1,16
OFPBRC_MULTIPART_BUFFER_OVERFLOW       4-6=1,13
OFPBRC_MULTIPART_REPLY_TIMEOUT         4=onf:2641 5-6=1,15
OFPBRC_MULTIPART_REQUEST_TIMEOUT       4=onf:2640 5-6=1,14
OFPBRC_PIPELINE_FIELDS_ONLY            6=1,17
OFPBRC_UNKNOWN                         6=1,18
OFPFMFC_BAD_COMMAND                    1=3,4 2-6=5,6
OFPFMFC_BAD_EMERG_TIMEOUT              1=3,3
OFPFMFC_BAD_FLAGS                      1=nx:3,258 2=nx:5,258 3-6=5,7
OFPFMFC_BAD_PRIORITY                   4=onf:2360 5-6=5,9
OFPFMFC_BAD_TABLE_ID                   2-6=5,2
OFPFMFC_BAD_TIMEOUT                    2-6=5,5
OFPFMFC_CANT_SYNC                      5-6=5,8
OFPFMFC_EPERM                          1=3,2 2-6=5,4
OFPFMFC_IS_SYNC                        5-6=5,10
OFPFMFC_OVERLAP                        1=3,1 2-6=5,3
OFPFMFC_TABLE_FULL                     1=3,0 2-6=5,1
OFPFMFC_UNKNOWN                        2-6=5,0
OFPFMFC_UNSUPPORTED                    1=3,5
OFPGMFC_BAD_BUCKET                     1=nx:6,12 3-6=6,12
OFPGMFC_BAD_COMMAND                    1=nx:6,11 3-6=6,11
OFPGMFC_BAD_TYPE                       1=nx:6,10 3-6=6,10
OFPGMFC_BAD_WATCH                      1=nx:6,13 3-6=6,13
OFPGMFC_BUCKET_EXISTS                  1=nx:6,16 6=6,16
OFPGMFC_CHAINED_GROUP                  1=nx:6,9 3-6=6,9
OFPGMFC_CHAINING_UNSUPPORTED           1=nx:6,5 2-6=6,5
OFPGMFC_EPERM                          1=nx:6,14 3-6=6,14
OFPGMFC_GROUP_EXISTS                   1=nx:6,0 2-6=6,0
OFPGMFC_INVALID_GROUP                  1=nx:6,1 2-6=6,1
OFPGMFC_LOOP                           1=nx:6,7 2-6=6,7
OFPGMFC_OUT_OF_BUCKETS                 1=nx:6,4 2-6=6,4
OFPGMFC_OUT_OF_GROUPS                  1=nx:6,3 2-6=6,3
OFPGMFC_UNKNOWN_BUCKET                 1=nx:6,15 6=6,15
OFPGMFC_UNKNOWN_GROUP                  1=nx:6,8 2-6=6,8
OFPGMFC_WATCH_UNSUPPORTED              1=nx:6,6 2-6=6,6
OFPGMFC_WEIGHT_UNSUPPORTED             1=nx:6,2 2-6=6,2
OFPHFC_EPERM                           1-6=0,1
OFPHFC_INCOMPATIBLE                    1-6=0,0
OFPMMFC_BAD_BAND                       4-6=12,8
OFPMMFC_BAD_BAND_VALUE                 4-6=12,9
OFPMMFC_BAD_BURST                      4-6=12,7
OFPMMFC_BAD_COMMAND                    4-6=12,4
OFPMMFC_BAD_FLAGS                      4-6=12,5
OFPMMFC_BAD_RATE                       4-6=12,6
OFPMMFC_INVALID_METER                  4-6=12,2
OFPMMFC_METER_EXISTS                   4-6=12,1
OFPMMFC_OUT_OF_BANDS                   4-6=12,11
OFPMMFC_OUT_OF_METERS                  4-6=12,10
OFPMMFC_UNKNOWN                        4-6=12,0
OFPMMFC_UNKNOWN_METER                  4-6=12,3
OFPMOFC_BAD_COMMAND                    5-6=16,4
OFPMOFC_BAD_FLAGS                      1-2=nx:1,518 3-4=nx:7 5-6=16,5
OFPMOFC_BAD_OUT                        5-6=16,7
OFPMOFC_BAD_TABLE_ID                   5-6=16,6
OFPMOFC_INVALID_MONITOR                5-6=16,2
OFPMOFC_MONITOR_EXISTS                 1-2=nx:1,517 3-4=nx:6 5-6=16,1
OFPMOFC_UNKNOWN                        5-6=16,0
OFPMOFC_UNKNOWN_MONITOR                1-2=nx:1,519 3-4=nx:8 5-6=16,3
OFPPMFC_BAD_ADVERTISE                  2-6=7,3
OFPPMFC_BAD_CONFIG                     2-6=7,2
OFPPMFC_BAD_HW_ADDR                    1=4,1 2-6=7,1
OFPPMFC_BAD_PORT                       1=4,0 2-6=7,0
OFPPMFC_EPERM                          3-6=7,4
OFPQOFC_BAD_PORT                       1=5,0 2-6=9,0
OFPQOFC_BAD_QUEUE                      1=5,1 2-6=9,1
OFPQOFC_EPERM                          1=5,2 2-6=9,2
OFPRRFC_BAD_ROLE                       1-2=nx:1,513 3-6=11,2
OFPRRFC_ID_IN_USE                      6=11,4
OFPRRFC_ID_UNSUP                       6=11,3
OFPRRFC_STALE                          3-6=11,0
OFPRRFC_UNSUP                          3-6=11,1
OFPSCFC_BAD_FLAGS                      2-6=10,0
OFPSCFC_BAD_LEN                        2-6=10,1
OFPSCFC_EPERM                          3-6=10,2
OFPTFFC_BAD_CAPA                       6=13,6
OFPTFFC_BAD_COMMAND                    6=13,9
OFPTFFC_BAD_FEATURES                   6=13,8
OFPTFFC_BAD_MAX_ENT                    6=13,7
OFPTFFC_BAD_METADATA                   4-6=13,1
OFPTFFC_BAD_TABLE                      4-6=13,0
OFPTFFC_EPERM                          4-6=13,5
OFPTFFC_TOO_MANY                       6=13,10
OFPTMFC_BAD_CONFIG                     2-6=8,1
OFPTMFC_BAD_TABLE                      2-6=8,0
OFPTMFC_EPERM                          3-6=8,2
"""

_U16 = Struct("!HH")
_NX10 = Struct("!HHIHH")  # type, code, vendor, vendor's type, vendor's code
_EXP = Struct("!HHI")  # type, experimenter's code, experimenter

# What is sent where a version has no code for an error; all versions have it.
UNENCODABLE = "NXBRC_UNENCODABLE_ERROR"


def _parse_rows():
    """(name, version) -> (vendor, type or None, code)."""
    codes = {}
    for line in _ROWS.strip().splitlines():
        name, *runs = line.split()
        for run in runs:
            versions, code = run.split("=")
            first, _, last = versions.partition("-")
            vendor, _, numbers = code.rpartition(":")
            kind, _, number = numbers.rpartition(",")
            value = (_VENDORS[vendor], int(kind) if kind else None, int(number))
            for version in range(int(first), int(last or first) + 1):
                codes[name, version] = value
    return codes


CODES = _parse_rows()
NAMES = {(version, *code): name for (name, version), code in reversed(CODES.items())}
ALL = sorted({name for name, _ in CODES})


class OFError(Exception):
    """An error that OpenFlow can report.  `name` is one of ALL; `data` is what goes into the
    error message's body: the offending message's first bytes (at least 64 when it has them);
    `partial`: the message of what could be read before it."""

    partial = None

    def __init__(self, name: str, detail: str = "", data: bytes = b""):
        super().__init__(f"{name}: {detail}" if detail else name)
        self.name = name
        self.detail = detail
        self.data = data

    @property
    def type(self) -> int | None:
        """The error type in OpenFlow 1.3; None for an experimenter's error."""
        return lookup(self.name, 4)[1]

    @property
    def code(self) -> int:
        """The error code in OpenFlow 1.3."""
        return lookup(self.name, 4)[2]


class Refusal(OFError):
    """An OFError whose `detail` is a sentence that tells a person all there is."""


def lookup(name: str, version: int) -> tuple[int, int | None, int]:
    """(vendor or 0, type, code) of an error in a version, of UNENCODABLE where that has none."""
    return CODES.get((name, version)) or CODES[UNENCODABLE, version]


def encode_code(name: str, version: int) -> bytes:
    """The body of an error message up to its data."""
    vendor, kind, code = lookup(name, version)
    if vendor == 0:
        return _U16.pack(kind, code)
    if kind is not None:
        return _NX10.pack(_NX_VENDOR_ERROR, 0, vendor, kind, code)
    return _EXP.pack(_EXPERIMENTER, code, vendor)


def decode_code(version: int, body: bytes) -> tuple[str, bytes]:
    """The name of an error message's error, and its data.  Unknown ones are named by number."""
    kind, code = _U16.unpack_from(body)
    if kind == _NX_VENDOR_ERROR and version <= 2 and len(body) >= 12:
        _, _, vendor, kind, code = _NX10.unpack_from(body)
        return _name(version, vendor, kind, code), body[12:]
    if kind == _EXPERIMENTER and version >= 3 and len(body) >= 8:
        _, code, vendor = _EXP.unpack_from(body)
        return _name(version, vendor, None, code), body[8:]
    return _name(version, 0, kind, code), body[4:]


def _name(version: int, vendor: int, kind: int | None, code: int) -> str:
    name = NAMES.get((version, vendor, kind, code))
    if name:
        return name
    if vendor:
        return f"(vendor {vendor:#x} type {kind} code {code})"
    return f"(type {kind} code {code})"
