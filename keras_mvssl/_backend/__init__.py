"""Functions that depend on the backend, on a single device."""

from keras_mvssl._backend.compiled import keep_compiled
from keras_mvssl._backend.convolutions import fast_convolutions
from keras_mvssl._backend.convolutions import lay_out_filters
from keras_mvssl._backend.datasets import drop_single_images
from keras_mvssl._backend.datasets import look_at_images
from keras_mvssl._backend.device import device_name
from keras_mvssl._backend.device import has_accelerator
from keras_mvssl._backend.device import processor_name
from keras_mvssl._backend.device import tensorflow_for_data
from keras_mvssl._backend.device import versions
from keras_mvssl._backend.frozen_state import refuse_frozen_state
from keras_mvssl._backend.memory import keep_freed_memory
from keras_mvssl._backend.memory import peak_memory
from keras_mvssl._backend.normalization import fuse_batch_normalization
from keras_mvssl._backend.precision import matmul
from keras_mvssl._backend.random_state import random_state
from keras_mvssl._backend.random_state import seed_generators
from keras_mvssl._backend.random_state import set_random_state
from keras_mvssl._backend.random_state import unchanged_random_state
from keras_mvssl._backend.tensors import refuse_foreign_graph
from keras_mvssl._backend.tensors import require_rows
from keras_mvssl._backend.tensors import state_kept_on_error
from keras_mvssl._backend.tensors import value_of

__all__ = [
    "device_name",
    "drop_single_images",
    "fast_convolutions",
    "fuse_batch_normalization",
    "has_accelerator",
    "keep_compiled",
    "keep_freed_memory",
    "lay_out_filters",
    "look_at_images",
    "matmul",
    "peak_memory",
    "processor_name",
    "random_state",
    "refuse_foreign_graph",
    "refuse_frozen_state",
    "require_rows",
    "seed_generators",
    "set_random_state",
    "state_kept_on_error",
    "tensorflow_for_data",
    "unchanged_random_state",
    "value_of",
    "versions",
]
