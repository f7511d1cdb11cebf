"""Connections to controllers and other OpenFlow peers."""
