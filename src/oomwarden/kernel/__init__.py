"""One file per kernel interface; nothing else in the project opens /proc, /sys or /dev.

Each file keeps parsing (bytes in, values out) apart from reading. They do not know each other.
"""
