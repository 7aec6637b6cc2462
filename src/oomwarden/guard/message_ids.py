"""What else the journal can be asked for: ``journalctl MESSAGE_ID=...``.

What is worth an alert has its id in :mod:`oomwarden.alerts.kinds`. Each has an entry in the
message catalog (``journalctl -x``). An id is never given to another kind of event; all are of
sd-id128(3).
"""

from __future__ import annotations

STORE_FAILED = "7e3ed8478d2c42f9b0c7e7b7739342e0"
LEFT_TO_OTHERS = "a087e22c89574884a9f898fba26a0e09"
