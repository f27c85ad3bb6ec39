"""A CPU training does not ask the system for the same pages at every step."""

import os
import subprocess
import sys

import pytest

from fakefreq.models import create_detector
from fakefreq.threads import keep_freed_memory

FAULTS = """
import resource, torch
from fakefreq.threads import keep_freed_memory
print(keep_freed_memory() if {keep} else None)
for _ in range(20):  # until the allocator's small caches are full, blocks move on
    torch.empty(16_000_000).fill_(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.empty(16_000_000).fill_(1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep: bool, **environment: str) -> tuple[str, int]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    code = FAULTS.format(keep=keep)
    done = subprocess.run(
        [sys.executable, "-c", code], env=inherited | environment, capture_output=True, text=True, check=True
    )
    first, count = done.stdout.split()
    return first, int(count)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is set on Linux only")
def test_freed_tensors_are_filled_again_without_new_pages() -> None:
    asked, kept = faults(True)
    if asked == "False":
        pytest.skip("this system's C library has no mallopt")
    assert asked == "True"
    # A block has 64 MB, above the 32 MiB from which glibc always maps: 20 times 15,625 pages of 4 KiB, or 30 huge ones.
    assert kept < 20 * 15
    assert faults(False)[1] > 2 * max(kept, 1)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is set on Linux only")
def test_what_the_user_set_stands() -> None:
    assert faults(True, MALLOC_TRIM_THRESHOLD_="131072")[0] == "False"
    assert faults(True, FAKEFREQ_KEEP_MEMORY="0")[0] == "False"


def test_the_first_detector_of_a_process_sets_it() -> None:
    keep_freed_memory.cache_clear()
    create_detector("lattice", pretrained="none")
    assert keep_freed_memory.cache_info().currsize == 1
