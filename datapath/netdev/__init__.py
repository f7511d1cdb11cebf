"""Network devices: one module for each kind, behind one table of methods."""
