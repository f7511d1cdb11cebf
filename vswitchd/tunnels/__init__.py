"""Tunnel ports: their options, and the way of the outer header."""
