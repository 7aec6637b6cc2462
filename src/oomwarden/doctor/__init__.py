"""What works on this machine, what cannot, and the one command that mends it."""
