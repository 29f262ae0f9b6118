"""What callbacks that look at frozen features have in common."""

import weakref

import keras
import numpy as np

from keras_mvssl.checks import check_classes
from keras_mvssl.checks import check_labelled
from keras_mvssl.evaluation import extract_features

# Features of each model since its last step: several callbacks may want the same.
_FEATURES = weakref.WeakKeyDictionary()


class Probe(keras.callbacks.Callback):
    """Measures the frozen encoder at the end of epochs, on labelled data of its own.

    A subclass gives `measure(train, test)`, from `(features, labels)` pairs to entries
    for the logs.
    """

    def __init__(self, train, test, every, batch_size, views):
        super().__init__()
        train, test = _flat_labels(train), _flat_labels(test)
        check_labelled(train, "train")
        check_labelled(test, "test")
        for part in (train, test):
            if not hasattr(part, "element_spec") and np.ndim(part[0]) != 4:
                raise ValueError(
                    "Images must have shape (N, H, W, C). "
                    f"Received: images.shape={np.shape(part[0])}"
                )
        if not hasattr(train, "element_spec") and not hasattr(test, "element_spec"):
            check_classes(train[1], test[1])
        for name, value in (("every", every), ("batch_size", batch_size)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"`{name}` must be an int of at least 1. Received: {name}={value}"
                )
        self.train = train
        self.test = test
        self.every = every
        self.batch_size = batch_size
        self.views = views

    @property
    def suffix(self):
        """Ending of names in the logs where features are means over views."""
        return "" if self.views is None else f"_{self.views.views}_views"

    def measure(self, train, test):
        raise NotImplementedError

    def on_train_begin(self, logs=None):
        if not hasattr(self.model, "encoder"):
            raise ValueError(
                "The probe needs a model with an `encoder`, such as MultiViewModel. "
                f"Received: model={self.model}"
            )
        taken = self.model.encoder.input_shape[1:]
        for name, part in (("train", self.train), ("test", self.test)):
            given = _image_shape(part)
            if self.views is not None:
                given = (*self.views.augmentation.size, given[-1])
            if any(a not in (None, b) for a, b in zip(taken, given, strict=True)):
                raise ValueError(
                    f"The images of `{name}` do not fit the encoder, which takes "
                    f"{taken}; build it for (None, None, channels) to take images of "
                    f"any size. Received: images of shape {given}"
                )

    def on_train_batch_begin(self, batch, logs=None):
        _FEATURES.pop(self.model, None)  # The encoder is about to change.

    def on_train_end(self, logs=None):
        _FEATURES.pop(self.model, None)

    def on_epoch_end(self, epoch, logs=None):
        is_last = epoch + 1 == self.params["epochs"] or self.model.stop_training
        if (epoch + 1) % self.every and not is_last:
            return
        logs.update(self.measure(self._features(self.train), self._features(self.test)))

    def _features(self, data):
        known = _FEATURES.setdefault(self.model, [])
        for known_data, views, features in known:
            if _same(known_data, data) and views is self.views:
                return features
        features = extract_features(
            self.model.encoder, data, self.batch_size, self.views
        )
        known.append((data, self.views, features))
        return features


def _same(data, other):
    if isinstance(data, (tuple, list)) and isinstance(other, (tuple, list)):
        return all(a is b for a, b in zip(data, other, strict=True))
    return data is other


def _flat_labels(data):
    """`(images, labels)` with labels `(N,)`, also where they are `(N, 1)`."""
    if isinstance(data, (tuple, list)) and len(data) == 2 and np.ndim(data[1]) == 2:
        labels = np.asarray(data[1])
        return data[0], labels[:, 0] if labels.shape[1] == 1 else labels
    return data


def _image_shape(data):
    if hasattr(data, "element_spec"):
        return tuple(data.element_spec[0].shape)
    return np.shape(data[0])[1:]
