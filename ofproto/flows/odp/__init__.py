"""What the datapath has besides flows, as all bridges share it: ports, meters, bonds, policies."""
