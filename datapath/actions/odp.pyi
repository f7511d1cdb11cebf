"""Datapath actions for Python: bytes as odp.pxd lays them out."""

OUTPUT: int
PUSH_VLAN: int
POP_VLAN: int
SET: int
PUSH_MPLS: int
POP_MPLS: int
RECIRC: int
HASH: int
SAMPLE: int
CLONE: int
USERSPACE: int
DROP: int
TRUNC: int
METER: int
CHECK_PKT_LEN: int
CT: int
CT_CLEAR: int
FLAG_COMMIT: int  # CT_* of ct_action.flags
FLAG_FORCE: int
FLAG_NAT: int
FLAG_SRC: int
FLAG_DST: int
FLAG_PERSISTENT: int
FLAG_HASH: int
FLAG_RANDOM: int
FLAG_MARK: int
FLAG_LABEL: int
FLAG_IPV6: int
TIMEOUT_NAME: int
HELPER_FTP: int
HELPER_TFTP: int
PUSH_ETH: int
POP_ETH: int
PUSH_NSH: int
POP_NSH: int
ADD_MPLS: int
COPY_TTL: int
TTL_OUT: int  # directions of COPY_TTL
TTL_IN: int
ALG_L4: int  # hash algorithms
ALG_SYM_L4: int
SLOW_ACTION: int  # reason of USERSPACE: vswitchd translates the packet anew
CFM: int  # bits beside SLOW_ACTION: the protocols whose packets these are
BFD: int
LACP: int
STP: int
LLDP: int
TO_CONTROLLER: int  # the same: for the controllers
PAUSED: int  # flag of controller data: translation waits for an answer
NESTING: int
ACTIONS_SIZE: int  # bytes of a flow's longest list
EXECUTED_SIZE: int  # of the longest that is done to one packet

class ActionBuffer:
    """A growing list of actions, filled from C; bytes(buffer) raises MemoryError when it failed."""

    def __bytes__(self) -> bytes: ...
    def __len__(self) -> int: ...

def check_actions(actions: bytes, executed: bool = False) -> None:
    """ValueError where the datapath would not take the list: a flow's, or to execute once."""
