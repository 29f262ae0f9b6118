"""Callback that probes the encoder by nearest neighbours."""

from collections.abc import Callable
from typing import Any

from keras_mvssl.callbacks.probe import Probe
from keras_mvssl.callbacks.probe import check_counts
from keras_mvssl.evaluation import knn

# Neighbours that vote by default, where there are so many training images.
DEFAULT_K = 20


class KNNProbe(Probe):
    """Callback that evaluates the frozen encoder by nearest neighbours after epochs.

    The callback works as `LinearProbe` does, but with `evaluation.knn`; the accuracy
    goes into `logs["knn_accuracy"]`.

    Args:
        train, test, every, batch_size, views, batch_statistics: Same as in
            `LinearProbe`.
        k: Optional int. Number of neighbours that vote; at most the number of training
            images. Defaults to 20, or to all training images where they are fewer.

    Example:
    ```python
    linear = keras_mvssl.callbacks.LinearProbe(splits.train, splits.test)
    neighbours = keras_mvssl.callbacks.KNNProbe(splits.train, splits.test, k=20)
    model.fit(stream, epochs=10, callbacks=[linear, neighbours])  # share features
    ```
    """

    def __init__(
        self,
        train: Any,
        test: Any,
        every: int = 1,
        batch_size: int = 512,
        k: int | None = None,
        views: Callable | None = None,
        batch_statistics: bool | None = None,
    ) -> None:
        super().__init__(train, test, every, batch_size, views, batch_statistics)
        if k is not None:
            check_counts(k=k)
        if k is not None and not hasattr(train, "element_spec") and k > len(train[0]):
            raise ValueError(
                f"`k` must be at most {len(train[0])}, the number of training images. "
                f"Received: k={k}"
            )
        self.k = k

    def measure(self, train, test):
        k = min(DEFAULT_K, len(train[0])) if self.k is None else self.k
        return {f"knn_accuracy{self.suffix}": knn(train, test, k=k).accuracy}
