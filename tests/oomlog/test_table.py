"""Rows of the task table, by the columns of their header."""

from __future__ import annotations

import pytest

from oomwarden.kill import Task
from oomwarden.oomlog.table import columns

PID_KERNELS = {
    "2.6.36": (
        "   uid  tgid total_vm      rss cpu oom_adj oom_score_adj name",
        "[13550]   500 13550  3116506  1906906   3       0             0 java",
        Task(13550, 13550, 500, 3116506, 1906906, "java", oom_score_adj=0),
    ),
    "3.10": (
        "   uid  tgid total_vm      rss nr_ptes swapents oom_score_adj name",
        "[13536] 275858 13536  8389663      343   16267  8324326          -17 memorymonster",
        Task(
            *(13536, 13536, 275858, 8389663, 343, "memorymonster"),
            oom_score_adj=-17,
            swap_pages=8324326,
            pgtables_pages=16267,
        ),
    ),
    "4.14": (
        "   uid  tgid total_vm      rss nr_ptes nr_pmds nr_puds swapents oom_score_adj name",
        "[ 1381]     0  1381   530382     5191    1046       5       2        0             0 gun",
        Task(
            *(1381, 1381, 0, 530382, 5191, "gun"),
            oom_score_adj=0,
            swap_pages=0,
            pgtables_pages=1053,
        ),
    ),
    "4.15": (
        "   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
        "[ 7485]  1000  7484 21500884  7426177 169730048 13444297             0 Web Content",
        Task(
            *(7485, 7484, 1000, 21500884, 7426177, "Web Content"),
            oom_score_adj=0,
            swap_pages=13444297,
            pgtables_bytes=169730048,
        ),
    ),
    "6.8": (
        (
            "   uid  tgid total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes swapents"
            " oom_score_adj name"
        ),
        (
            "[    246]     0   246    16404       66        1       60         5   159744      303"
            "          -250 (sd-pam)"
        ),
        Task(
            *(246, 246, 0, 16404, 66, "(sd-pam)"),
            oom_score_adj=-250,
            swap_pages=303,
            pgtables_bytes=159744,
            rss_anon_pages=1,
            rss_file_pages=60,
            rss_shmem_pages=5,
        ),
    ),
}


@pytest.mark.parametrize("version", PID_KERNELS)
def test_a_row_is_read_by_its_header(version: str) -> None:
    """What has no column is not known."""
    header, row, task = PID_KERNELS[version]
    found = columns(header)
    assert found is not None
    assert found.row(row) == task


def test_a_field_wider_than_its_column() -> None:
    """A process of 170 TB, as sanitizers make them; the columns are no longer in line."""
    header, row, _ = PID_KERNELS["4.15"]
    found = columns(header)
    assert found is not None
    task = found.row(row.replace("21500884", "42949672961"))
    assert task is not None
    assert (task.total_vm_pages, task.comm) == (42949672961, "Web Content")


@pytest.mark.parametrize("name", ["", " ", "  a", "a  b ", "12 34", "[7] x", "a\nb"])
def test_a_name_is_all_that_is_left(name: str) -> None:
    """One space parts it from the numbers; the others are its own."""
    found = columns(PID_KERNELS["4.15"][0])
    assert found is not None
    task = found.row(
        f"[    7]     0     7       10        5     4096        0             0 {name}"
    )
    assert task is not None
    assert task.comm == name


@pytest.mark.parametrize(
    "row",
    [
        "[ 7485]  1000  7484 21500884  7426177 169730048 13444297",
        "[ 7485]  1000  7484 21500884  7426177 169730048 13444297             0",
        "[ 7485]  1000  7484 total_vm  7426177 169730048 13444297             0 a",
        "  1000  7484 21500884",
    ],
)
def test_a_row_that_was_cut_is_none(row: str) -> None:
    """No column is guessed from the next one."""
    found = columns(PID_KERNELS["4.15"][0])
    assert found is not None
    assert found.row(row) is None


@pytest.mark.parametrize(
    "header",
    [
        "",
        "   uid  tgid total_vm      rss pgtables_bytes",
        "   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_ad",
        "   tgid total_vm      rss name",
        f"   uid  tgid total_vm      rss {'x ' * 40} name",
    ],
)
def test_a_header_that_was_cut_is_none(header: str) -> None:
    """Without all its columns the rows cannot be read."""
    assert columns(header) is None


def test_a_column_that_no_kernel_has_yet() -> None:
    """It is passed over: the others keep their meaning."""
    found = columns("   uid  tgid total_vm      rss rss_new oom_score_adj name")
    assert found is not None
    task = found.row("[    7]     0     7       10        5     4096          -5 a b")
    assert task == Task(7, 7, 0, 10, 5, "a b", oom_score_adj=-5)
