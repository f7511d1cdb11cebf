"""Connection tracking: who speaks with whom, NAT, and fragments."""
