"""What tunnels travel over: routes, neighbours and addresses, as tables without sockets.

Addresses are numbers of 128 bits, those of IPv4 in their mapped form (RFC 4291, section 2.5.5.2).
"""
