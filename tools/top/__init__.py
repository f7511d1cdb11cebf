"""pyvs-top: a live view of a switch in a terminal."""
