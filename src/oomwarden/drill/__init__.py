"""A real OOM kill of a process of our own, contained, and followed through all that we do."""
