"""Self-supervised learning from multiple views, in Keras 3."""

import importlib
import os

from keras_mvssl._internal import early_signals

if early_signals.is_command():  # Before Keras is imported, which takes seconds.
    early_signals.end_at_signals()

# By default, TensorFlow uses its oneDNN kernels only on some processors. On the others,
# they train the encoders of this package more than twice as fast. The variable must be
# set before TensorFlow is imported.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

try:
    import keras  # noqa: F401
except (ImportError, ValueError) as error:
    if getattr(error, "name", None) == "keras":
        raise
    backend = os.environ.get("KERAS_BACKEND")
    raise ImportError(
        "Keras could not be imported. KERAS_BACKEND must be 'tensorflow' (the "
        "default), 'jax' or 'torch', and the package of the backend must be "
        "installed: in a clone of keras_mvssl, with "
        f"`pip install -c constraints.txt -e '.[jax]'` or '.[torch]'. {error}. "
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
    "command",
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
# Increased by one whenever the same settings would compute other numbers.
stream_version = STREAM_VERSION


def __getattr__(name):
    # They import matplotlib, which not every program needs.
    if name in ("command", "report", "training"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
