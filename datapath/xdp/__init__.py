"""Ports on interfaces of the kernel through AF_XDP: program, memory and rings, the device."""
