"""The version of pyvs, and the Open vSwitch release whose behaviour it follows."""

VERSION = "0.1.0"
# Controllers choose drivers by the software version in the OpenFlow DESC reply (ONOS wants
# 2.x); scripts parse the first number of `--version`.
OVS_COMPATIBLE = "2.17.0"
