"""Everything that depends on the backend or on the number of devices."""

from keras_mvssl._backend import keep_freed_memory
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
from keras_mvssl.distribution.parallel import INTERRUPTED
from keras_mvssl.distribution.parallel import check_batch
from keras_mvssl.distribution.parallel import data_parallel
from keras_mvssl.distribution.parallel import refuse_keras_distribution
from keras_mvssl.distribution.placement import keep_on_device
from keras_mvssl.distribution.placement import place_in_batch
from keras_mvssl.distribution.placement import take_rows

# What users call; the rest is for the package.
__all__ = ["data_parallel", "is_chief", "keep_freed_memory"]
