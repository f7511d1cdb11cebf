"""The commands; installed as pyvs_tools.  Each speaks one protocol."""
