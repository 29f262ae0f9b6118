"""The linear probe during training."""

import keras
import numpy as np

from keras_mvssl.checks import check_classes
from keras_mvssl.checks import check_labelled
from keras_mvssl.evaluation import extract_features
from keras_mvssl.evaluation import linear_probe


class LinearProbe(keras.callbacks.Callback):
    """Evaluates the frozen encoder with a linear classifier at the end of epochs.

    The accuracy on `test` of multinomial logistic regression, fitted to the features
    of `train`, one clean view of each image, goes into `logs["probe_accuracy"]`, for
    `History`, `CSVLogger`, `TensorBoard` and `ModelCheckpoint` (list those after it).
    The model, its optimizer and its random state are left as they are. Both data sets
    are the callback's own: what the model is trained on needs no labels.

    Args:
        train: Labelled images to fit the classifier to: `(images, labels)` arrays,
            `(N, H, W, C)` in [0, 255] and `(N,)` ints, or a `tf.data.Dataset` of
            single `(image, label)`.
        test: Labelled images to test it on.
        every: int >= 1. Epochs between probes; the last epoch always has one, also
            where a callback listed before, such as EarlyStopping, ends training.
        batch_size: int. Images per forward pass.

    Raises:
        ValueError: For data without labels, counts that differ, images outside
            [0, 255], or fewer than two classes: arrays at once, data sets when they
            are first read. Before training, for a model without an `encoder`.

    Example:

    ```python
    probe = keras_mvssl.callbacks.LinearProbe(splits.train, splits.test)
    history = model.fit(views, epochs=10, callbacks=[probe])
    history.history["probe_accuracy"]
    ```
    """

    def __init__(self, train, test, every=1, batch_size=512):
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

    def on_train_begin(self, logs=None):
        if not hasattr(self.model, "encoder"):
            raise ValueError(
                "The probe needs a model with an `encoder`, such as MultiViewModel. "
                f"Received: model={self.model}"
            )
        taken = self.model.encoder.input_shape[1:]
        for name, part in (("train", self.train), ("test", self.test)):
            given = _image_shape(part)
            if any(a not in (None, b) for a, b in zip(taken, given, strict=True)):
                raise ValueError(
                    f"The images of `{name}` do not fit the encoder, which takes "
                    f"{taken}; build it for (None, None, channels) to take images of "
                    f"any size. Received: images of shape {given}"
                )

    def on_epoch_end(self, epoch, logs=None):
        is_last = epoch + 1 == self.params["epochs"] or self.model.stop_training
        if (epoch + 1) % self.every and not is_last:
            return
        encoder = self.model.encoder
        result = linear_probe(
            extract_features(encoder, self.train, self.batch_size),
            extract_features(encoder, self.test, self.batch_size),
        )
        logs["probe_accuracy"] = result.accuracy


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
