"""The night of a small server: crawlers, a torrent and a flood of chat, on 768 MiB.

Real services under systemd (openssh, mariadb, nginx with a small shop behind it, irssi in screen)
are put under a load that is more than the machine has, with and without a guard.
"""
