"""Between the processes: rings, upcalls, the messages of datapath.sock, and dpif, the client."""
