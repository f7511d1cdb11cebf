"""Schema, values, rows and conditions in memory (RFC 7047, sections 3 and 5.1)."""
