"""Everything that depends on the backend or on the number of devices."""

from keras_mvssl.distribution.exchange import average
from keras_mvssl.distribution.exchange import equalize
from keras_mvssl.distribution.exchange import gather
from keras_mvssl.distribution.exchange import share
from keras_mvssl.distribution.exchange import synchronize
from keras_mvssl.distribution.job import highest
from keras_mvssl.distribution.job import is_chief
from keras_mvssl.distribution.job import once
from keras_mvssl.distribution.job import processes
from keras_mvssl.distribution.job import replicas
from keras_mvssl.distribution.job import saves_together
from keras_mvssl.distribution.job import separate_sums
from keras_mvssl.distribution.normalization import fuse_batch_normalization
from keras_mvssl.distribution.parallel import INTERRUPTED
from keras_mvssl.distribution.parallel import check_batch
from keras_mvssl.distribution.parallel import data_parallel
from keras_mvssl.distribution.parallel import refuse_keras_distribution
from keras_mvssl.distribution.precision import matmul
from keras_mvssl.distribution.runtime import device_name
from keras_mvssl.distribution.runtime import has_accelerator
from keras_mvssl.distribution.runtime import is_concrete
from keras_mvssl.distribution.runtime import keep_freed_memory
from keras_mvssl.distribution.runtime import keep_on_device
from keras_mvssl.distribution.runtime import peak_memory
from keras_mvssl.distribution.runtime import place_in_batch
from keras_mvssl.distribution.runtime import random_state
from keras_mvssl.distribution.runtime import refuse_foreign_graph
from keras_mvssl.distribution.runtime import require_rows
from keras_mvssl.distribution.runtime import set_random_state
from keras_mvssl.distribution.runtime import take_rows
from keras_mvssl.distribution.runtime import tensorflow_for_data
from keras_mvssl.distribution.runtime import value_of
from keras_mvssl.distribution.runtime import versions

# What users call; the rest is for the package.
__all__ = ["data_parallel", "is_chief", "keep_freed_memory"]
