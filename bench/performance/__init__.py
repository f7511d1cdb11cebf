"""Where pyvs stands beside the other switches, and the page that says so; `run` measures."""

from bench.performance.run import KINDS, SECONDS, Cost, main, measure_packets, measure_tcp

__all__ = ["KINDS", "SECONDS", "Cost", "main", "measure_packets", "measure_tcp"]
