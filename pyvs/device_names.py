"""How Linux names network devices: netdevice(7), struct ifreq."""

IFNAMSIZ = 16  # bytes, with the zero at the end


def made_for(port: str) -> str:
    """The name of the device that is made for a port: what fits of the port's, as Open vSwitch's
    userspace datapath has it (never half a character)."""
    return port.encode("utf-8", "surrogateescape")[: IFNAMSIZ - 1].decode("utf-8", "ignore")
