from collections.abc import Iterable

def in_hash_order(numbers: Iterable[int]) -> list[int]:
    """Port numbers, given in the order in which the ports came, as Open vSwitch lists them."""

def in_name_order(names: Iterable[str], n: int) -> list[str]:
    """Names of some of a bridge's `n` ports, as Open vSwitch goes through them."""
