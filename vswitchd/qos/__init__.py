"""Quality of service: what the kernel's traffic control does with what leaves by a port."""
