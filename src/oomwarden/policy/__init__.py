"""Decisions: values in, values out. No file, no clock, no log."""
