"""The version of pyvs, and the Open vSwitch release whose behaviour it follows."""

VERSION = "0.1.0"
# In `--version`, whose first number scripts take, and in the column ovs_version.
OVS_COMPATIBLE = "3.1.0"
# In the OpenFlow DESC reply, by which controllers choose their drivers: ONOS's for Open vSwitch
# wants a software version of 2.x.
OVS_DRIVER = "2.17.0"
