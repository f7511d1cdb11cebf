"""vswitchd's commands on its control socket.

`commands` has the table of all, the other modules the functions, one for each family of names:
those of the datapath in `datapath/`, those of layer 2's protocols in `protocols/`.
"""
