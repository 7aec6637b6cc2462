"""Which files make up the configuration."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from oomwarden.config.search import find_files

WriteTree = Callable[[dict[str, str]], Path]


def test_the_highest_main_file_is_taken(tree: WriteTree) -> None:
    """/etc goes before /run, /run before /usr/lib."""
    root = tree({"usr/lib/oomwarden/config.yaml": "", "run/oomwarden/config.yaml": ""})
    assert find_files(root).main == root / "run/oomwarden/config.yaml"

    tree({"etc/oomwarden/config.yaml": ""})
    assert find_files(root).main == root / "etc/oomwarden/config.yaml"


def test_drop_ins_are_sorted_by_name_over_all_folders(tree: WriteTree) -> None:
    """The order is that of the names; of one name the highest folder's file is read."""
    root = tree(
        {
            "usr/lib/oomwarden/conf.d/10-vendor.yaml": "x",
            "usr/lib/oomwarden/conf.d/50-both.yaml": "x",
            "run/oomwarden/conf.d/50-both.yaml": "x",
            "run/oomwarden/conf.d/30-run.yaml": "x",
            "etc/oomwarden/conf.d/20-etc.yaml": "x",
        }
    )

    assert [str(path.relative_to(root)) for path in find_files(root).drop_ins] == [
        "usr/lib/oomwarden/conf.d/10-vendor.yaml",
        "etc/oomwarden/conf.d/20-etc.yaml",
        "run/oomwarden/conf.d/30-run.yaml",
        "run/oomwarden/conf.d/50-both.yaml",
    ]


def test_an_empty_file_and_a_link_to_dev_null_mask(tree: WriteTree) -> None:
    """An administrator can switch a vendor's drop-in off without touching it."""
    root = tree(
        {
            "usr/lib/oomwarden/conf.d/10-a.yaml": "x",
            "usr/lib/oomwarden/conf.d/20-b.yaml": "x",
            "usr/lib/oomwarden/conf.d/30-c.yaml": "x",
            "etc/oomwarden/conf.d/10-a.yaml": "",
        }
    )
    (root / "etc/oomwarden/conf.d/20-b.yaml").symlink_to(os.devnull)

    assert [path.name for path in find_files(root).drop_ins] == ["30-c.yaml"]


def test_other_files_are_left_alone_and_a_near_miss_is_told(tree: WriteTree) -> None:
    """Backups and hidden files are nobody's concern; ``.yml`` is probably a mistake."""
    root = tree(
        {
            "etc/oomwarden/conf.d/.hidden.yaml": "x",
            "etc/oomwarden/conf.d/10-a.yaml~": "x",
            "etc/oomwarden/conf.d/README": "x",
            "etc/oomwarden/conf.d/20-b.yml": "x",
        }
    )

    found = find_files(root)

    file = root / "etc/oomwarden/conf.d/20-b.yml"
    assert found.drop_ins == ()
    assert [str(problem) for problem in found.problems] == [
        f"{file}:1:1: warning: is not read: the name of a drop-in must end in .yaml"
    ]


def test_a_dangling_link_is_no_mask(tree: WriteTree) -> None:
    """A link that lost its target is handed on, so that reading it fails aloud."""
    root = tree({"etc/oomwarden/conf.d/README": "x"})
    dangling = root / "etc/oomwarden/conf.d/10-a.yaml"
    dangling.symlink_to("nowhere.yaml")

    assert find_files(root).drop_ins == (dangling,)


def test_the_candidates_file_only_counts_without_a_main_file(tree: WriteTree) -> None:
    """Whoever has written YAML names the candidates file there, or does not want it."""
    root = tree({"etc/oom_candidates.conf": "sshd -900"})
    assert find_files(root).candidates == root / "etc/oom_candidates.conf"

    tree({"usr/lib/oomwarden/config.yaml": ""})
    assert find_files(root).candidates is None


def test_a_main_file_that_may_not_be_looked_at_counts_as_there(tmp_path: Path) -> None:
    """To go on to the next would put another configuration in force in silence."""
    # A link to itself cannot be looked through by anybody, not even by root.
    (tmp_path / "etc").symlink_to("etc")

    assert find_files(tmp_path).main == tmp_path / "etc/oomwarden/config.yaml"


def test_a_folder_of_drop_ins_that_cannot_be_listed_is_an_error(tmp_path: Path) -> None:
    """Rules that were meant to count are not left out in silence."""
    (tmp_path / "usr").symlink_to("usr")

    problems = find_files(tmp_path).problems

    folder = tmp_path / "usr/lib/oomwarden/conf.d"
    assert [str(problem) for problem in problems] == [
        f"{folder}:1:1: error: cannot be read: Too many levels of symbolic links"
    ]
