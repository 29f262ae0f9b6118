"""Linear probe with the settings of the code of Ghosh et al. (2024), in NumPy."""

import numpy as np

EPOCHS = 200
BATCH_SIZE = 512
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 1e-6
LABEL_SMOOTHING = 0.1


def fit(x, y, classes, seed=0):
    """Fit weights with Adam to the cross-entropy of smoothed labels.

    Weight decay adds to the gradient. The weights are initialised as by `Linear` of
    torch: uniform within 1/sqrt(F).

    Returns:
        float32 weights `(F + 1, classes)`, whose last row is the biases.
    """
    rng = np.random.default_rng(seed)
    bound = 1 / np.sqrt(x.shape[1])
    weights = rng.uniform(-bound, bound, (x.shape[1] + 1, classes)).astype("float32")
    low = np.float32(LABEL_SMOOTHING / classes)
    target = np.full((classes, classes), low)
    np.fill_diagonal(target, 1 - LABEL_SMOOTHING + low)
    first, second, step = np.zeros_like(weights), np.zeros_like(weights), 0
    for _ in range(EPOCHS):
        order = rng.permutation(len(x))
        for start in range(0, len(x), BATCH_SIZE):
            rows = order[start : start + BATCH_SIZE]
            batch = x[rows]
            scores = batch @ weights[:-1] + weights[-1]
            error = np.exp(scores - scores.max(axis=1, keepdims=True))
            error = error / error.sum(axis=1, keepdims=True) - target[y[rows]]
            error /= len(rows)
            gradient = np.vstack([batch.T @ error, error.sum(axis=0)])
            gradient += WEIGHT_DECAY * weights
            step += 1
            first += 0.1 * (gradient - first)
            second += 0.001 * (gradient**2 - second)
            rate = LEARNING_RATE * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            # Torch adds epsilon after the bias correction.
            epsilon = 1e-8 * np.sqrt(1 - 0.999**step)
            weights -= np.float32(rate) * first / (np.sqrt(second) + epsilon)
    return weights
