"""Everything that depends on the backend or on the number of devices."""

from keras_mvssl.distribution.precision import matmul
from keras_mvssl.distribution.runtime import device_name
from keras_mvssl.distribution.runtime import is_concrete
from keras_mvssl.distribution.runtime import keep_on_device
from keras_mvssl.distribution.runtime import peak_memory
from keras_mvssl.distribution.runtime import place_in_batch
from keras_mvssl.distribution.runtime import refuse_foreign_graph
from keras_mvssl.distribution.runtime import require_rows
from keras_mvssl.distribution.runtime import take_rows
from keras_mvssl.distribution.runtime import tensorflow_for_data
from keras_mvssl.distribution.runtime import versions
