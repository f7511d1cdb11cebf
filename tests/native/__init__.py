"""Extensions that tests and benchmarks drive C code with; not installed."""
