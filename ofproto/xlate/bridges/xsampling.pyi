"""Which packets of a bridge the exporters are told of."""

from collections.abc import Callable

class XSampling:
    number: int
    sflow: int  # probability, of 2**32 - 1; 0: none
    ipfix: int
    ipfix_input: bool
    ipfix_output: bool
    collectors: bool  # sample actions have somebody to tell
    ipfix_tunnels: bool  # its records tell of a packet's tunnel, too
    tunnel_sets: frozenset[int]  # collector sets whose records do
    tunnel_kinds: frozenset[str]  # of which there is something to tell
    ifindexes: dict[int, int]  # datapath port -> sFlow's number of its interface
    receive: Callable[[int, bytes, bytes, bytes], int] | None
    def __init__(
        self, bridge: str, receive: Callable[[int, bytes, bytes, bytes], int] | None = None
    ) -> None:
        """`receive(reason, packet, key, userdata)`: reason and userdata as in samples.pyi; it
        returns how many datagrams that made."""
