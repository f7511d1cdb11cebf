"""pyvs-exporter: what Prometheus is told of the switch, over HTTP."""
