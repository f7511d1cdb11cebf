"""The kernel cache: exact-match flows in tc-BPF programs that pyvs assembles and loads itself."""
