"""The flow key: extraction from a packet, its layout, its text."""
