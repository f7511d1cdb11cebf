"""OVN over several hosts, each of them a network namespace with a pyvs of its own."""
