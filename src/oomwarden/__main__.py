"""``python -m oomwarden`` is the ``oomwarden`` command."""

import sys

from oomwarden.cli.main import main

sys.exit(main())
