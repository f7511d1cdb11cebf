from ofproto.xlate.bridges.tun_options import Layout

def seen_by_tables(layout: Layout, key: bytes) -> bytes:
    """A key of KEY_SIZE bytes whose options may be as the datapath has them, as tables see it."""
