"""The projector: a small network between the encoder's features and the loss."""

import numbers

import keras
from keras import layers


def Projector(
    input_dim: int,
    dim: int = 256,
    hidden_dim: int | None = None,
    name: str = "projector",
) -> keras.Model:
    """Build a projector: Dense, batch normalisation, ReLU, Dense.

    A projector is used for pretraining only, and then thrown away. A small one suffices
    (256 features instead of 8192) where β is proportional to 1/dim, as the losses have
    it with `beta="auto"`.

    Args:
        input_dim: int. Number of features of the encoder.
        dim: int. Number of features of the projections, D.
        hidden_dim: int. Width of the hidden layer. Defaults to `dim`, as in the paper.
        name: Name of the model.

    Returns:
        A functional `keras.Model` from features `(N, input_dim)` to projections
        `(N, dim)`.

    Raises:
        ValueError: For a size that is not a positive int.

    Example:
    ```python
    projector = keras_mvssl.models.Projector(512, dim=256)
    ```

    Reference: Ghosh et al. (2024), Section 4, and the authors' code.
    """
    hidden_dim = dim if hidden_dim is None else hidden_dim
    sizes = {"input_dim": input_dim, "dim": dim, "hidden_dim": hidden_dim}
    for size_name, size in sizes.items():
        if not isinstance(size, numbers.Integral) or size < 1:
            raise ValueError(
                f"`{size_name}` must be a positive int. Received: {size_name}={size!r}"
            )
    # Integers of NumPy cannot be written into a saved model.
    input_dim, dim, hidden_dim = map(int, sizes.values())
    features = layers.Input((input_dim,), name="features")
    x = layers.Dense(hidden_dim, use_bias=False, name="hidden")(features)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name="hidden_bn")(x)
    x = layers.ReLU(name="hidden_relu")(x)
    projections = layers.Dense(dim, name="projections")(x)
    return keras.Model(features, projections, name=name)
