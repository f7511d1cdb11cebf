"""The plug-in pyvs-cni: the Container Network Interface, specification 1.1.0 and older ones.

config.py reads what the runtime says, ipam.py runs the plug-in that hands out addresses, result.py
writes answers in the asked version's form, main.py has the commands.
"""
