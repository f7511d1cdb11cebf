"""pyvs-ofctl: an OpenFlow client."""
