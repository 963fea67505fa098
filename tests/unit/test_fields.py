"""Numbers in words, and back in a scheduler's spelling."""

import pytest

from hpc_gateway import fields


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "no time"),
        (45, "45 seconds"),
        (60, "1 minute"),
        (5400, "1 hour 30 minutes"),
        (86400, "24 hours"),
        (129600, "36 hours"),
        (172800, "2 days"),
        (176400, "49 hours"),
    ],
)
def test_walltime_in_words(seconds, words):
    assert fields.walltime_words(seconds) == words


@pytest.mark.parametrize(
    ("kib", "words", "like", "written"),
    [
        (0, "0 KB", "1G", "0K"),
        (512 * 1024, "512 MB", "64G", "512M"),
        (1536 * 1024, "1536 MB", "64gb", "1536mb"),
        (4 * 1024**2, "4 GB", "64GB", "4GB"),
        (2 * 1024**3, "2 TB", "4t", "2t"),
        (2048 * 1024**3, "2048 TB", "4t", "2048t"),
        (1001, "1001 KB", "1G", "1001K"),
    ],
)
def test_memory(kib, words, like, written):
    assert fields.memory_words(kib) == words
    assert fields.write_memory(kib, like, "slurm") == written


@pytest.mark.parametrize(
    ("name", "low", "high", "words"),
    [
        ("cores", 1, 12, "1 to 12 cores"),
        ("cores", 4, 4, "4 cores"),
        ("memory", "512M", "64G", "512 MB to 64 GB"),
        ("walltime", "00:30:00", "08:00:00", "30 minutes to 8 hours"),
        ("walltime", "01:00:00", "08:00:00", "1 to 8 hours"),
        ("walltime", "01:30:00", "02:30:00", "1 hour 30 minutes to 2 hours 30 minutes"),
    ],
)
def test_span(name, low, high, words):
    assert fields.bounds(name, {"min": low, "default": low, "max": high}).span() == words
