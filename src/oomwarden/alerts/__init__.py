"""Tells people: words for what happened, and the courier that carries them."""
