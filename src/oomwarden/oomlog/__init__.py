"""Kernel log text to kills. Pure: nothing here opens a file or looks at a clock."""
