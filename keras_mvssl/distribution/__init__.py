"""Training on several devices and in several processes."""

from keras_mvssl._backend import keep_freed_memory
from keras_mvssl._internal.signals import INTERRUPTED_EXIT_CODE
from keras_mvssl.distribution.exchange import average
from keras_mvssl.distribution.exchange import copy_from_first_process
from keras_mvssl.distribution.exchange import gather
from keras_mvssl.distribution.exchange import share_of_loss
from keras_mvssl.distribution.exchange import synchronize
from keras_mvssl.distribution.job import is_chief
from keras_mvssl.distribution.job import max_over_processes
from keras_mvssl.distribution.job import once
from keras_mvssl.distribution.job import processes
from keras_mvssl.distribution.job import replicas
from keras_mvssl.distribution.job import saves_together
from keras_mvssl.distribution.job import separate_metric_sums
from keras_mvssl.distribution.parallel import check_batch
from keras_mvssl.distribution.parallel import data_parallel
from keras_mvssl.distribution.parallel import refuse_keras_distribution
from keras_mvssl.distribution.placement import keep_on_device
from keras_mvssl.distribution.placement import place_in_batch
from keras_mvssl.distribution.placement import take_rows

# Names for users. The other names are for the package itself.
__all__ = ["data_parallel", "is_chief", "keep_freed_memory"]
