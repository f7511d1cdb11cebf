"""pyvs-dpctl: the datapath's socket."""
