"""Protocols that a switch speaks itself: bytes and time in, bytes and events out."""
