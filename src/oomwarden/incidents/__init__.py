"""What is kept of every kill: incidents, and where they are stored."""
