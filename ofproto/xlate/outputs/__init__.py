"""Where a packet goes: ports, NORMAL, bonds, mirrors, tunnels, and the slow path."""
