"""What vswitchd does with the protocols of layer 2: rows, ports, timers, status."""
