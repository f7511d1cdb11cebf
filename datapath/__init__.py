"""The fast path: ports, flow keys, caches, megaflows, actions; and dpif, the way to use it."""
