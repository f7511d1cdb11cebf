from collections.abc import Iterable

def in_hash_order(numbers: Iterable[int]) -> list[int]:
    """Port numbers, given in the order in which the ports came, as Open vSwitch lists them."""
