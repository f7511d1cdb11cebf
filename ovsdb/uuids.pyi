"""Random UUIDs; see uuids.pyx."""

def new_uuid() -> str:
    """A fresh random UUID in lower case."""
