"""pyvs-ctl: starts and stops the daemons, and says which of them run."""
