"""Fuzzes one reader for a while, guided by the code that it reaches.

    pip install atheris
    python -m tests.fuzz log --seconds 600

Ends with 0 where nothing was found. What breaks a reader is written to ``crash-*`` in the folder
that ``--found`` names, beside all that reached something new; a later run begins with these.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

LONGEST_INPUT = 20_000


def main() -> int:
    """Fuzz; libFuzzer ends the process by itself."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--found", type=Path, default=Path("/tmp/oomwarden-fuzz"))  # noqa: S108
    options = parser.parse_args()
    try:
        import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError:
        print("atheris is not installed: pip install atheris")
        return 1
    with atheris.instrument_imports(include=["oomwarden"], enable_loader_override=False):
        from tests.fuzz.targets import TARGETS
    from tests.fuzz.seeds import seeds

    if options.target not in TARGETS:
        print(f"there is no {options.target}; there are {', '.join(TARGETS)}")
        return 2
    folder = options.found / options.target
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(options.target)):
        (folder / f"seed-{number:03}").write_bytes(seed)
    words = [
        *(f"-max_total_time={options.seconds}", f"-max_len={LONGEST_INPUT}", "-timeout=20"),
        *("-print_final_stats=1", f"-artifact_prefix={folder}/", str(folder)),
    ]
    atheris.Setup([sys.argv[0], *words], TARGETS[options.target])
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
