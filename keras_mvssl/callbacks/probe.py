"""Base of the callbacks that probe frozen features, and checks of their input."""

import hashlib
import numbers
import weakref

import keras
import numpy as np

from keras_mvssl import _backend
from keras_mvssl import distribution
from keras_mvssl._internal.checks import check_classes
from keras_mvssl._internal.checks import check_labelled
from keras_mvssl._internal.checks import check_labels
from keras_mvssl._internal.pixels import check_batch
from keras_mvssl.callbacks.settled import Settled
from keras_mvssl.evaluation import extract_features
from keras_mvssl.evaluation.features import MeanOverViews
from keras_mvssl.evaluation.features import check_takes_images
from keras_mvssl.views import RandomViews
from keras_mvssl.views.augmentation import check_channels

# Features that each model last computed, so that callbacks can share them:
# `{model: [(data, (weights, settled, views, batch_size), features)]}`, with a checksum
# of the encoder's weights. All are dropped when training goes on.
_FEATURE_CACHE = weakref.WeakKeyDictionary()


class Probe(keras.callbacks.Callback):
    """Callback that measures the frozen encoder on labelled data of its own.

    At the end of epochs, the callback calls `measure(train, test)`, which a subclass
    defines: from `(features, labels)` pairs, it returns entries for the logs.
    """

    def __init__(self, train, test, every, batch_size, views, batch_statistics=None):
        super().__init__()
        train, test = flat_labels(train), flat_labels(test)
        check_labelled(train, "train")
        check_labelled(test, "test")
        for name, part in (("train", train), ("test", test)):
            if not hasattr(part, "element_spec") and np.ndim(part[0]) != 4:
                raise ValueError(
                    "Images must have shape (N, H, W, C). "
                    f"Received: images.shape={np.shape(part[0])}"
                )
            if hasattr(part, "element_spec"):
                _check_first(part, name)
        if not hasattr(train, "element_spec") and not hasattr(test, "element_spec"):
            check_classes(train[1], test[1])
        check_counts(every=every, batch_size=batch_size)
        if views is not None and not isinstance(views, RandomViews):
            raise ValueError(f"`views` must be a RandomViews. Received: views={views}")
        self.train = train
        self.test = test
        self.every = every
        self.batch_size = batch_size
        self.views = views
        self._averaged = None
        self._settled = Settled(batch_statistics)

    @property
    def suffix(self):
        """Ending of the names in the logs; empty where features are of one view."""
        return "" if self.views is None else f"_{self.views.views}_views"

    def measure(self, train, test):
        raise NotImplementedError

    def on_train_begin(self, logs=None):
        check_encoder(self.model)
        for name, part in (("train", self.train), ("test", self.test)):
            given = _image_shape(part)
            if self.views is not None:
                check_channels(self.views.augmentation, given)
                given = (*self.views.augmentation.size, given[-1])
            check_fit(self.model, given, name)
        if self.views is not None:
            self._averaged = MeanOverViews(self.model.encoder, self.views)

    def on_train_batch_begin(self, batch, logs=None):
        _FEATURE_CACHE.pop(self.model, None)  # The encoder is about to change.

    def on_train_end(self, logs=None):
        _FEATURE_CACHE.pop(self.model, None)

    def on_epoch_end(self, epoch, logs=None):
        is_last = epoch + 1 == self.params["epochs"] or self.model.stop_training
        if (epoch + 1) % self.every and not is_last:
            return
        logs.update(distribution.once(lambda: self.measure(*self._features())))

    def _features(self):
        """Return the features of both data sets, computed where they are not known."""
        # Views of an image depend on the batches.
        how = (
            _checksum(self.model.encoder),
            self._settled.applies(self.model),
            self.views,
            self.views and self.batch_size,
        )
        both = self.train, self.test
        if any(self._known(data, how) is None for data in both):
            encoder = self._averaged or self.model.encoder
            with self._settled.encoder(self.model, self.train):
                for data in both:
                    if self._known(data, how) is None:
                        found = extract_features(encoder, data, self.batch_size)
                        _FEATURE_CACHE[self.model].append((data, how, found))
        return [self._known(data, how) for data in both]

    def _known(self, data, how):
        for known, known_how, features in _FEATURE_CACHE.setdefault(self.model, []):
            if _is_same(known, data) and how == known_how:
                return features
        return None


def _checksum(model):
    """Return a checksum of a model and its weights, which callbacks may change."""
    found = hashlib.sha256(str(id(model)).encode())
    for weight in model.weights:
        found.update(np.ascontiguousarray(_backend.value_of(weight)))
    return found.hexdigest()


def _check_first(dataset, name):
    """Check the first images of a `tf.data.Dataset`, before training."""
    for batch, labels in dataset.take(16).batch(16).as_numpy_iterator():
        check_batch(batch, name)
        check_labels(labels, name)


def check_counts(**counts):
    """Check that each count is an int of at least 1; raise ValueError otherwise."""
    for name, value in counts.items():
        if not isinstance(value, numbers.Integral) or value < 1:
            raise ValueError(
                f"`{name}` must be an int of at least 1. Received: {name}={value}"
            )


def check_encoder(model):
    """Check that a model has an encoder; raise ValueError otherwise."""
    if not hasattr(model, "encoder"):
        raise ValueError(
            "The callback needs a model with an `encoder`, such as MultiViewModel. "
            f"Received: model={model}"
        )


def check_fit(model, shape, name):
    """Check that the encoder takes images `(H, W, C)`; raise ValueError otherwise."""
    check_takes_images(model.encoder, shape, name)


def _is_same(data, other):
    """Return whether two data sets, or pairs of arrays, are the same objects."""
    if isinstance(data, (tuple, list)) and isinstance(other, (tuple, list)):
        return all(a is b for a, b in zip(data, other, strict=True))
    return data is other


def flat_labels(data):
    """Return `(images, labels)` with labels `(N, 1)` turned into `(N,)`."""
    if isinstance(data, (tuple, list)) and len(data) == 2 and np.ndim(data[1]) == 2:
        labels = np.asarray(data[1])
        return data[0], labels[:, 0] if labels.shape[1] == 1 else labels
    return data


def _image_shape(data):
    if hasattr(data, "element_spec"):
        return tuple(data.element_spec[0].shape)
    return np.shape(data[0])[1:]
