"""Databases in files: the log, its records, and what they are read to."""
