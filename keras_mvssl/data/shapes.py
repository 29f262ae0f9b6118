"""The embedded data set: simple shapes, drawn by code.

The class of an image is its shape. Colour, position, size, angle, background, light
and noise vary independently of the class. Sizes and angles stay within the range that
the crops of the "shapes" augmentation vary, and colours cover the whole circle of
hues. The reason: a network that learns without labels may encode any property that
the augmentation does not vary, instead of the shape.
"""

import numbers

import numpy as np

from keras_mvssl._internal import progress

CLASS_NAMES = (
    "disc",
    "ring",
    "square",
    "triangle",
    "star",
    "cross",
    "crescent",
    "heart",
    "bars",
    "arrow",
)
IMAGE_SIZE = 32  # pixels
_IMAGES_PER_CHUNK = 500
# Largest half-width of the soft rim that anti-aliases an edge, in pixels.
_HALF_RIM = 0.7


def draw(
    count: int, seed: int = 0, verbose: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Draw labelled images of shapes.

    Args:
        count: int. Number of images. Every class is drawn equally often (up to one
            image), in random order.
        seed: int. The same seed gives the same images.
        verbose: Whether to show a progress bar.

    Returns:
        uint8 images `(count, 32, 32, 3)` in [0, 255] and int32 labels `(count,)` in
        [0, 10), indices into `CLASS_NAMES`.

    Raises:
        ValueError: For a count below 1, or a seed below 0.

    Example:
    ```python
    images, labels = keras_mvssl.data.shapes.draw(1000, seed=7)
    ```
    """
    for name, value, least in (("count", count, 1), ("seed", seed, 0)):
        if not isinstance(value, numbers.Integral) or value < least:
            raise ValueError(
                f"`{name}` must be an int of at least {least}. "
                f"Received: {name}={value!r}"
            )
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % len(CLASS_NAMES)).astype("int32")
    images = np.empty((count, IMAGE_SIZE, IMAGE_SIZE, 3), "uint8")
    bar = progress.bar(count, "image") if verbose else None
    for start in range(0, count, _IMAGES_PER_CHUNK):
        part = slice(start, min(start + _IMAGES_PER_CHUNK, count))
        images[part] = _draw_chunk(labels[part], rng)
        if bar:
            bar.update(part.stop)
    return images, labels


def _draw_chunk(labels, rng):
    n = len(labels)
    axis = (np.arange(IMAGE_SIZE) + 0.5) / (IMAGE_SIZE / 2) - 1.0
    y, x = np.meshgrid(axis, axis, indexing="ij")

    radius = rng.uniform(0.55, 0.85, (n, 1, 1))
    angle = rng.uniform(-0.5, 0.5, (n, 1, 1))
    room = 1.0 - radius
    centre_x = rng.uniform(-1, 1, (n, 1, 1)) * room
    centre_y = rng.uniform(-1, 1, (n, 1, 1)) * room
    # Coordinates in which the shape is upright, centred and of radius 1.
    dx, dy = (x - centre_x) / radius, (y - centre_y) / radius
    u = np.cos(angle) * dx + np.sin(angle) * dy
    v = np.cos(angle) * dy - np.sin(angle) * dx

    distance = np.empty((n, IMAGE_SIZE, IMAGE_SIZE))
    for label, name in enumerate(CLASS_NAMES):
        rows = labels == label
        distance[rows] = _DISTANCES[name](u[rows], v[rows])
    pixels = distance * radius * (IMAGE_SIZE / 2)
    cover = np.clip(0.5 - pixels / (2 * _HALF_RIM), 0.0, 1.0)[..., None]

    # Foreground and background differ in lightness, so that the shape is visible in
    # gray. Either of the two may be the lighter one.
    back = rng.uniform(30, 225, (n, 1, 1, 1))
    contrast = rng.uniform(70, 130, (n, 1, 1, 1))
    fore = np.where(back > 127, back - contrast, back + contrast)
    tint = rng.uniform(-60, 60, (2, n, 1, 1, 3))
    tint -= tint.mean(axis=-1, keepdims=True)
    slope_x, slope_y = rng.uniform(-20, 20, (2, n, 1, 1, 1))
    light = slope_x * x[..., None] + slope_y * y[..., None]
    image = (1 - cover) * (back + tint[0]) + cover * (fore + tint[1]) + light
    image += rng.normal(0, 1, image.shape) * rng.uniform(2, 12, (n, 1, 1, 1))
    return np.clip(np.rint(image), 0, 255).astype("uint8")


# The functions below return signed distances to shapes that fill the unit disc, at
# points (x to the right, y down). Distances are negative inside a shape, and exact or
# nearly exact close to its edge.


def _disc(x, y):
    return np.hypot(x, y) - 0.9


def _ring(x, y):
    return np.abs(np.hypot(x, y) - 0.7) - 0.22


def _box(x, y, half_width, half_height):
    dx, dy = np.abs(x) - half_width, np.abs(y) - half_height
    outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0))
    return outside + np.minimum(np.maximum(dx, dy), 0)


def _square(x, y):
    return _box(x, y, 0.74, 0.74)


def _cross(x, y):
    return np.minimum(_box(x, y, 0.95, 0.28), _box(x, y, 0.28, 0.95))


def _bars(x, y):
    return np.minimum(_box(x, y + 0.5, 0.85, 0.25), _box(x, y - 0.5, 0.85, 0.25))


def _crescent(x, y):
    return np.maximum(np.hypot(x, y) - 0.95, 0.72 - np.hypot(x - 0.45, y))


def _polygon(corners):
    corners = np.asarray(corners)

    def distance(x, y):
        nearest = np.full(x.shape, np.inf)
        inside = np.zeros(x.shape, bool)
        for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0)):
            ex, ey = bx - ax, by - ay
            along = np.clip(
                ((x - ax) * ex + (y - ay) * ey) / (ex * ex + ey * ey), 0.0, 1.0
            )
            nearest = np.minimum(
                nearest, np.hypot(x - ax - along * ex, y - ay - along * ey)
            )
            if ey != 0:
                crosses = (ay > y) != (by > y)
                inside ^= crosses & (x < ax + ex * (y - ay) / ey)
        return np.where(inside, -nearest, nearest)

    return distance


def _on_circle(radii, start=-np.pi / 2):
    angles = start + 2 * np.pi * np.arange(len(radii)) / len(radii)
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=-1)


def _heart_outline():
    t = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x, -y - 2.5], axis=-1) / 17


_DISTANCES = {
    "disc": _disc,
    "ring": _ring,
    "square": _square,
    "triangle": _polygon(_on_circle(np.full(3, 1.0))),
    "star": _polygon(_on_circle(np.tile([1.0, 0.42], 5))),
    "cross": _cross,
    "crescent": _crescent,
    "heart": _polygon(_heart_outline()),
    "bars": _bars,
    "arrow": _polygon(
        [
            (0, -0.95),
            (0.75, -0.1),
            (0.27, -0.1),
            (0.27, 0.95),
            (-0.27, 0.95),
            (-0.27, -0.1),
            (-0.75, -0.1),
        ]
    ),
}
