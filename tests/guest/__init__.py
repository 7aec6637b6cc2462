"""oomwarden on real kernels: guests under QEMU, each running one scenario as root."""
