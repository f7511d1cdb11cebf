"""Commands of pyvs-ofctl that need no switch: how it reads and writes flows and messages."""
