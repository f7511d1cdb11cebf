"""Random UUIDs, and whether a text is one; see uuids.pyx."""

def new_uuid() -> str:
    """A fresh random UUID in lower case."""

def is_uuid(text: str) -> bool:
    """Whether `text` is a UUID, in letters of either case."""
