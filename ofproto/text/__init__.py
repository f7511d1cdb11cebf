"""The text of flows, groups, meters and messages, in the layout of ovs-ofctl(8)."""
