"""What translation knew when it sent a packet back to the datapath, by recirculation id."""

class FrozenState:
    id: int
    in_port: int  # OpenFlow port
    pipeline: bytes  # the key's part behind KEY_DP_SIZE

class RecircTable:
    states: dict[int, FrozenState]
    def expire(self, now: int) -> None:
        """Takes out the states that no flow has referred to for 30 s; `now` in ms."""

    def __len__(self) -> int: ...
