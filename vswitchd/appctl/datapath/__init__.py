"""Commands that ask the datapath process, or tell of what vswitchd has in it."""
