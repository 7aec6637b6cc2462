"""The daemon: waits, samples, decides by the policy, applies, and gives everything back."""
