"""What one translation carries: context, changes, what it froze, and owes afterwards."""
