"""What all rooms of the datapath share: the packet buffer, drop reasons, atomics, hashes."""
