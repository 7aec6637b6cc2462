"""The shape of the incident database, step by step.

``PRAGMA user_version`` counts the steps that a file has taken. A step is never edited once it
was released: a change is a new step.
"""

from __future__ import annotations

STEPS: tuple[tuple[str, ...], ...] = (
    (
        # at_unix: of the first kill, or of when it was noticed; sort_unix: the same, or where
        # nobody knows that, of when it was recorded. explained: so many of what was
        # counted were found in the log later, explained_by says in which incident.
        # places: cgroup paths, each on a line of its own and with a slash at its end, of the
        # limit and of all who were killed. AUTOINCREMENT: an id is never given again.
        """CREATE TABLE incidents (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            key TEXT NOT NULL UNIQUE,
            boot_id TEXT NOT NULL,
            at_unix REAL,
            sort_unix REAL NOT NULL,
            since_boot_us INTEGER,
            recorded_unix REAL NOT NULL,
            accounted TEXT NOT NULL,
            scope TEXT,
            memcg TEXT,
            places TEXT NOT NULL,
            place TEXT,
            pid INTEGER,
            comm TEXT,
            kills INTEGER NOT NULL,
            freed_kib INTEGER,
            killed_lines INTEGER NOT NULL,
            counter TEXT,
            counted INTEGER NOT NULL,
            explained INTEGER NOT NULL DEFAULT 0,
            explained_by INTEGER,
            document BLOB NOT NULL
        )""",
        "CREATE INDEX incidents_by_time ON incidents (sort_unix)",
        "CREATE INDEX incidents_by_boot ON incidents (boot_id)",
        # What retention has taken away still counts. counter is empty for the log's; until_us
        # is -1 where nothing tells.
        """CREATE TABLE forgotten (
            boot_id TEXT NOT NULL,
            counter TEXT NOT NULL,
            kills INTEGER NOT NULL,
            until_us INTEGER NOT NULL,
            PRIMARY KEY (boot_id, counter)
        ) WITHOUT ROWID""",
    ),
    (
        # The outbox. count: for how many things it stands; fold: the same for repeats.
        """CREATE TABLE alerts (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            key TEXT NOT NULL UNIQUE,
            kind TEXT NOT NULL,
            severity TEXT NOT NULL,
            fold TEXT NOT NULL,
            subject TEXT NOT NULL,
            at_unix REAL NOT NULL,
            recorded_unix REAL NOT NULL,
            count INTEGER NOT NULL,
            title TEXT NOT NULL,
            text TEXT NOT NULL,
            incident_id INTEGER
        )""",
        "CREATE INDEX alerts_by_incident ON alerts (incident_id)",
        # state: waiting, sent, failed. told_with: the first alert of the message that told it.
        # why: of failed.
        """CREATE TABLE deliveries (
            target TEXT NOT NULL,
            alert_id INTEGER NOT NULL,
            state TEXT NOT NULL,
            done_unix REAL,
            told_with INTEGER,
            why TEXT,
            PRIMARY KEY (target, alert_id)
        ) WITHOUT ROWID""",
        "CREATE INDEX deliveries_by_alert ON deliveries (alert_id)",
        # failures: in a row. next_unix: not to be tried before. Never a URL: not in error either.
        """CREATE TABLE targets (
            name TEXT PRIMARY KEY,
            failures INTEGER NOT NULL,
            next_unix REAL NOT NULL,
            error TEXT,
            sent_unix REAL
        ) WITHOUT ROWID""",
    ),
)
"""Each step is a list of statements that are run in one transaction."""

VERSION = len(STEPS)

READABLE = 1
"""From this version on the incidents in a file can be read as they are."""
