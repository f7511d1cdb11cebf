"""What vswitchd knows of each flow in the datapath."""

class Ukey:
    """A flow in the datapath.  Times in ms."""

    ufid: bytes
    key: bytes  # masked, KEY_DP_SIZE bytes
    mask: bytes
    actions: bytes
    packets: int  # as last seen in the datapath
    n_bytes: int
    used: int
    created: int
    generation: int
    dead: bool
