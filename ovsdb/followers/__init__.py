"""Databases that are another server's: relays and replicas."""
