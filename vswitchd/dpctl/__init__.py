"""The datapath's commands, for pyvs-dpctl and for `dpctl/*` of vswitchd's control socket."""
