"""pyvs-vsctl: the switch's configuration, by OVSDB."""
