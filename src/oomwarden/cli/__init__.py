"""The command line: parses, calls, prints, and tells the exit code. No decisions live here."""
