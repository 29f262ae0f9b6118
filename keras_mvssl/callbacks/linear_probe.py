"""Callback that probes the encoder with a linear classifier."""

from collections.abc import Callable
from typing import Any

from keras_mvssl.callbacks.probe import Probe
from keras_mvssl.evaluation import linear_probe
from keras_mvssl.evaluation.linear import check_settings


class LinearProbe(Probe):
    """Callback that evaluates the frozen encoder with a linear classifier.

    At the end of epochs, a classifier is fitted to the features of `train`. Its
    accuracy on `test` goes into `logs["probe_accuracy"]`, for `History`, `MetricsCSV`,
    `TensorBoard` and `ModelCheckpoint`; list these after the probe. Keras' CSVLogger
    writes the accuracy only where every epoch has one. The model, its optimizer and its
    random state are left as they are. Both data sets belong to the callback: the data
    that the model is trained on needs no labels. Probes of the same data share its
    features.

    Args:
        train: Labelled images to fit the classifier to: `(images, labels)` arrays,
            `(N, H, W, C)` in [0, 255] and `(N,)` ints, or a `tf.data.Dataset` of
            single `(image, label)`.
        test: Labelled images to test the classifier on.
        every: int >= 1. Epochs between probes; the last epoch is always probed, also
            where a callback listed before, such as EarlyStopping, ends training.
        batch_size: int. Images per forward pass.
        protocol: `"logistic"`, `"ridge"` or `"paper"`, as in `evaluation.linear_probe`.
        views: Optional `RandomViews` of V views, over which the features of an image
            are averaged, instead of one clean view. The entry in the logs is then
            `"probe_accuracy_{V}_views"`.
        fraction: Share of the training labels to use, in (0, 1]. Below 1, the name of
            the entry ends in the share, e.g. `"_1%_labels"` for 0.01.
        batch_statistics: Optional bool. Whether the encoder is probed with batch
            statistics of the images of `train`, as in
            `evaluation.with_batch_statistics`, and has its own again afterwards.
            Defaults to where its own lag, which is warned of.

    Attributes:
        result: The latest result of `evaluation.linear_probe`, or None.

    Raises:
        ValueError: For data without labels, counts that differ, images outside
            [0, 255], or fewer than two classes; arrays are checked at once, data sets
            when they are first read. Before training, for a model without an `encoder`.

    Example:
    ```python
    probe = keras_mvssl.callbacks.LinearProbe(splits.train, splits.test)
    history = model.fit(stream, epochs=10, callbacks=[probe])
    history.history["probe_accuracy"]
    ```
    """

    def __init__(
        self,
        train: Any,
        test: Any,
        every: int = 1,
        batch_size: int = 512,
        protocol: str = "logistic",
        views: Callable | None = None,
        fraction: float = 1.0,
        batch_statistics: bool | None = None,
    ) -> None:
        super().__init__(train, test, every, batch_size, views, batch_statistics)
        check_settings(protocol, "auto", fraction)
        self.protocol = protocol
        self.fraction = fraction
        self.result = None

    def measure(self, train, test):
        self.result = linear_probe(
            train, test, protocol=self.protocol, fraction=self.fraction
        )
        labels = "" if self.fraction == 1 else f"_{100 * self.fraction:g}%_labels"
        return {f"probe_accuracy{self.suffix}{labels}": self.result.accuracy}
