"""Commands of the protocols that bridges and their ports speak, a module for each."""
