"""How a daemon starts, runs, is controlled, logs and ends."""
