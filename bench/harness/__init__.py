"""What benchmarks share: the switches that are compared, traffic through them, how it is shown."""
