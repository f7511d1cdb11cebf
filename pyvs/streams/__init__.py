"""What goes over sockets, for daemons and commands: listeners, TLS, names of hosts, JSON."""
