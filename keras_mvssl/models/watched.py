"""Data sets of others whose batches are checked on the host, one after the other."""

import contextlib
import copy
import functools
import types

import keras

from keras_mvssl import _backend
from keras_mvssl._internal.pixels import PixelWatch
from keras_mvssl._internal.pixels import host_array


@contextlib.contextmanager
def watched(*inputs, for_loss=True):
    """Replace data sets by equal ones whose pixels are checked batch by batch.

    Arrays, and streams of this package, which check their own images, stay as they are.
    For a loss, which has no value for one image, batches of one are left out of
    generators and of data sets of unknown length.

    Args:
        *inputs: Pairs (data, name in error messages). The data may be None.
        for_loss: Whether a loss is computed.

    Yields:
        The data, in the same order.

    Raises:
        ValueError: For pixels that are not in [0, 255], in place of the error that the
            engine of a data set makes of it.
    """
    watches = [PixelWatch(name) for _, name in inputs]
    own = [watch for data, _ in inputs for watch in getattr(data, "watches", ())]
    for watch in own:
        watch.errors.clear()  # those of an earlier use
    try:
        yield [
            data if data is None or _is_checked(data) else _watch(data, watch, for_loss)
            for (data, _), watch in zip(inputs, watches, strict=True)
        ]
    except Exception as error:
        for found in [found for watch in (*watches, *own) for found in watch.errors]:
            # The engine's error has this text among others.
            if found is not error and str(found) in str(error):
                raise found from error
        raise
    for watch in watches:
        watch.finish_stream()


def _is_checked(data):
    return hasattr(data, "shape") or hasattr(data, "watches")


def _watch(data, watch, for_loss):
    if hasattr(data, "element_spec"):
        if not hasattr(data, "map"):  # one that a strategy has distributed already
            return data
        data = _backend.drop_single_images(data) if for_loss else data
        is_uint8 = first_part(data.element_spec).dtype == "uint8"
        return data if is_uint8 else _backend.look_at_images(data, watch.check)
    if isinstance(data, keras.utils.PyDataset):
        return _WatchedPyDataset(data, watch)
    if hasattr(data, "collate_fn"):  # torch's DataLoader
        loader = copy.copy(data)
        loader.collate_fn = functools.partial(_collate, data.collate_fn, watch)
        loader._iterator = None  # Workers that live on would use the other function.
        return loader
    if isinstance(data, types.GeneratorType):
        return _watch_generator(data, watch, for_loss)
    return data


class _WatchedPyDataset(keras.utils.PyDataset):
    """A PyDataset whose batches are checked when they are made."""

    def __init__(self, dataset, watch):
        super().__init__(
            workers=dataset.workers,
            use_multiprocessing=dataset.use_multiprocessing,
            max_queue_size=dataset.max_queue_size,
        )
        self._dataset, self._watch = dataset, watch

    @property
    def num_batches(self):
        return self._dataset.num_batches

    def __len__(self):
        return len(self._dataset)

    def __getitem__(self, index):
        return _checked(self._dataset[index], self._watch)

    def on_epoch_begin(self):
        self._dataset.on_epoch_begin()

    def on_epoch_end(self):
        self._dataset.on_epoch_end()


def _collate(collate, watch, examples):
    return _checked(collate(examples), watch)


def _watch_generator(generator, watch, for_loss):
    for batch in generator:
        batch = _checked(batch, watch)
        if not for_loss or len(first_part(batch)) != 1:
            yield batch


def _checked(batch, watch):
    images = host_array(first_part(batch), watch.name)
    watch.check(keras.ops.convert_to_numpy(images))
    return (images, *batch[1:]) if isinstance(batch, (tuple, list)) else images


def first_part(batch):
    """Return the images of a batch, which may be a tuple (images, targets, weights)."""
    return batch[0] if isinstance(batch, (tuple, list)) else batch
