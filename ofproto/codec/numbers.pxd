# The numbers of numbers.py that C code needs; tests/ofproto/codec/test_numbers.py holds them equal.

cdef enum:
    N_TABLES = 255
    N_VISIBLE_TABLES = 254
    TABLE_INTERNAL = 254
    TABLE_ALL = 255

cdef enum:
    OFPP_MAX = 0xff00
    OFPP_UNSET = 0xfff7
    OFPP_IN_PORT = 0xfff8
    OFPP_TABLE = 0xfff9
    OFPP_NORMAL = 0xfffa
    OFPP_FLOOD = 0xfffb
    OFPP_ALL = 0xfffc
    OFPP_CONTROLLER = 0xfffd
    OFPP_LOCAL = 0xfffe
    OFPP_NONE = 0xffff

cdef enum:
    OFPPC_PORT_DOWN = 1
    OFPPC_NO_STP = 2
    OFPPC_NO_RECV = 4
    OFPPC_NO_RECV_STP = 8
    OFPPC_NO_FLOOD = 16
    OFPPC_NO_FWD = 32
    OFPPC_NO_PACKET_IN = 64

cdef enum:
    OFPR_NO_MATCH = 0
    OFPR_ACTION = 1
    OFPR_INVALID_TTL = 2
    OFPR_ACTION_SET = 3
    OFPR_GROUP = 4
    OFPR_PACKET_OUT = 5
