"""Guards side by side on machines that run out of memory: see docs/compare.md."""
