"""Interfaces and the network devices behind them: links, addresses, what a device is told."""
