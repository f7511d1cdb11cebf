"""The switch daemon: makes bridges, ports and controllers what the database says."""
