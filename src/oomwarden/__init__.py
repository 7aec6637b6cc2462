"""oomwarden ranks processes for the Linux OOM killer and explains every kill."""

__version__ = "0.1.0"
