"""Workers for processor cores, and which of them polls which receive queue: pmd-*."""
