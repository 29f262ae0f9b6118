import os
import platform

import pytest

import helpers
from keras_mvssl import _backend
from keras_mvssl import distribution
from keras_mvssl._backend import memory


def test_peak_memory_is_known():
    assert _backend.peak_memory() > 1e7


def test_users_reach_it():
    assert distribution.keep_freed_memory is memory.keep_freed_memory


# Blocks of 512 MB: even with huge pages, such a block has many of them.
FAULTS_OF_A_SECOND_BLOCK = """
import ctypes, resource, runpy, sys, types

device = types.SimpleNamespace(has_accelerator=lambda: False)
sys.modules["keras_mvssl._backend.device"] = device  # the package takes seconds
runpy.run_path(sys.argv[1])["keep_freed_memory"]()
libc, size = ctypes.CDLL(None), 1 << 29
libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(size)
    ctypes.memset(block, 1, size)
    libc.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="It is for glibc.")
@pytest.mark.parametrize(
    "choice",
    [{}, {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}, {"MALLOC_TOP_PAD_": "0"}],
)
def test_freed_memory_is_kept_unless_the_user_chose(choice, monkeypatch):
    for name in list(os.environ):
        if name == "GLIBC_TUNABLES" or name.startswith("MALLOC_"):
            monkeypatch.delenv(name)
    code = "-c", FAULTS_OF_A_SECOND_BLOCK, memory.__file__
    found = helpers.run_python(*code, environment=choice)
    assert (int(found.stdout) > 100) == bool(choice), found.stderr
