"""oomwarden as a service of this machine: the files of systemd and OpenRC, put in place."""
