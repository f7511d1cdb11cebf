"""`make demo`: the switch at work between containers, in private namespaces."""
