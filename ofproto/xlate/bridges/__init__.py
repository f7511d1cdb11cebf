"""What translation knows of bridges: ports, groups, mirrors, tunnels, and learned tables."""
