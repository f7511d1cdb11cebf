"""Connections of clients and what is done for them: JSON-RPC, sessions, monitors, TLS."""
