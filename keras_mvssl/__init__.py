"""Self-supervised learning from multiple views, in Keras 3."""

import importlib
import os

# TensorFlow turns its oneDNN kernels on by itself only on some processors. On others
# they train the encoders here more than twice as fast. Must precede its import.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

try:
    import keras  # noqa: F401
except (ImportError, ValueError) as error:
    if getattr(error, "name", None) == "keras":
        raise
    backend = os.environ.get("KERAS_BACKEND")
    raise ImportError(
        "Keras does not start. KERAS_BACKEND may be 'tensorflow' (if not set), 'jax' "
        "or 'torch', and its package must be installed: in a clone of keras_mvssl, "
        f"with `pip install -c constraints.txt -e '.[jax]'` or '.[torch]'. {error}. "
        f"Received: KERAS_BACKEND={backend}"
    ) from error

from keras_mvssl import callbacks
from keras_mvssl import data
from keras_mvssl import distribution
from keras_mvssl import evaluation
from keras_mvssl import losses
from keras_mvssl import models
from keras_mvssl import optimizers
from keras_mvssl import views
from keras_mvssl._internal.stream_version import STREAM_VERSION
from keras_mvssl.models import MultiViewModel

__all__ = [
    "MultiViewModel",
    "callbacks",
    "data",
    "distribution",
    "evaluation",
    "losses",
    "models",
    "optimizers",
    "report",
    "stream_version",
    "training",
    "views",
]
__version__ = "0.1.0"
# Raised whenever the same settings compute something else.
stream_version = STREAM_VERSION


def __getattr__(name):
    # These import matplotlib, which not every program needs.
    if name in ("report", "training"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
