"""What every pyvs process shares: the version, where its files are, how a daemon starts."""
