"""What is tried in a guest: one runnable file each, with a ``NEEDS`` that says what machine."""
