import pathlib
import platform

import keras
import pytest

from keras_mvssl import _backend
from keras_mvssl._backend import device


def test_device_and_versions_are_known():
    assert _backend.device_name()
    assert set(_backend.versions()) == {"keras", keras.backend.backend()}


@pytest.mark.parametrize(
    "flags, vectors",
    [
        ("fpu avx2 avx512f", ", AVX-512"),
        ("fpu avx avx2", ", AVX2"),
        ("fpu avx512fp16x", ""),
    ],
)
def test_processor_and_its_vectors_are_known(flags, vectors, monkeypatch):
    described = f"processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\nflags\t\t: {flags}\n"
    monkeypatch.setattr(pathlib.Path, "read_text", lambda path, encoding: described)
    assert _backend.processor_name() == "Some CPU @ 3 GHz" + vectors
    assert device.has_avx512() == ("AVX-512" in vectors)
    assert flags in device.processor_features()


def test_processor_where_the_system_describes_none(monkeypatch):
    def refuse(path, encoding):
        raise FileNotFoundError(path)

    monkeypatch.setattr(pathlib.Path, "read_text", refuse)
    expected = platform.processor() or platform.machine()
    assert _backend.processor_name() == expected != ""
    assert not device.has_avx512()
    assert expected in device.processor_features()
