"""pyvs-ovsdb-client and pyvs-ovsdb-tool, and the OVSDB client that vsctl shares."""
