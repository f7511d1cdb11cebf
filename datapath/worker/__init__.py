"""A worker: the way of a packet (forward.pyx), and what keeps it going."""
