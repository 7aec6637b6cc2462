"""Bytes of any kind into everything that reads what others wrote."""
