"""Shared set-up: torch before TensorFlow, quiet logs, one seed."""

import contextlib
import importlib
import os
import pathlib
import signal

# It may be ignored, as under nohup, and would be so in what tests start, too.
if hasattr(signal, "SIGHUP"):
    with contextlib.suppress(ValueError):  # in another thread
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Each worker has a core of its own. More threads would only wait for each other.
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        os.environ.setdefault(name, "1")
# On JAX most of the time is compilation, often of the same.
CACHE = pathlib.Path(__file__).parent.parent / ".pytest_cache" / "jax"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")
# What tests compile is small, and used a few times.
XLA_FLAGS = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)
os.environ.setdefault("XLA_FLAGS", XLA_FLAGS)

with contextlib.suppress(ImportError):
    import torch  # noqa: F401 - after TensorFlow, it may crash.

import hypothesis
import keras
import numpy as np
import pytest

import helpers
import keras_mvssl as mv

# The same inputs in each run, whichever tests are chosen.
hypothesis.settings.register_profile(
    "tests", max_examples=12, deadline=None, derandomize=True, database=None
)
hypothesis.settings.load_profile("tests")


def pytest_report_header(config):
    chosen = config.getoption("markexpr") or "all"
    return f"on {keras.backend.backend()}: {chosen} (for others, see CONTRIBUTING.md)"


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(0)


@pytest.fixture
def images():
    """Eight small RGB images, uint8."""
    return np.random.default_rng(0).integers(0, 256, (8, 12, 12, 3), dtype="uint8")


@pytest.fixture
def model():
    """A very small, compiled model for views of 12x12 RGB; quick to compile."""
    encoder = helpers.small_encoder((12, 12, 3))
    model = mv.MultiViewModel(encoder, mv.models.Projector(16, dim=8))
    model.compile(optimizer=keras.optimizers.SGD(0.01))
    return model


@pytest.fixture
def small_backbone(monkeypatch):
    """Make the tiny backbone of recipes a single convolution, quick to compile."""
    build = importlib.import_module("keras_mvssl.training.build")
    monkeypatch.setitem(build.BACKBONES, "tiny", helpers.small_encoder)


@pytest.fixture
def few_shapes(monkeypatch):
    helpers.draw_few_shapes(1000, monkeypatch.setattr)


@pytest.fixture
def labelled():
    """Bright and dark images, which any encoder tells apart."""
    rng = np.random.default_rng(1)
    labels = np.arange(40, dtype="int32") % 2
    images = rng.integers(0, 100, (40, 12, 12, 3)) + 150 * labels[:, None, None, None]
    return images.astype("uint8"), labels
