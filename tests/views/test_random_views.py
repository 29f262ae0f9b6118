"""`RandomViews`: its arithmetic against references, its draws, its contract."""

import colorsys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from scipy import stats

import helpers
from keras_mvssl import distribution
from keras_mvssl.views import Augmentation
from keras_mvssl.views import KerasCVViews
from keras_mvssl.views import RandomViews
from keras_mvssl.views import color
from keras_mvssl.views import resampling

NOTHING = dict(crop_area=(1, 1), crop_aspect=(1, 1), flip=0, jitter=0, grayscale=0)
COLORS = dict(jitter=1, brightness=0, contrast=0, saturation=0, hue=0)
LUMA = np.array([0.2989, 0.5870, 0.1140]) / 0.9999


def make(images, step=0, views=2, size=None, **changes):
    """Views with a single kind of change, as NumPy."""
    augmentation = Augmentation(
        size=size or images.shape[1:3], **{**NOTHING, **changes}
    )
    return as_numpy(RandomViews(augmentation, views)(images, step=step))


def draws(count=2000, views=2, step=0, seed=0, **changes):
    augmentation = Augmentation(**{"size": 8, **changes})
    drawn = RandomViews(augmentation, views, seed).draw(step, count)
    return {name: as_numpy(x).astype("float64") for name, x in drawn.items()}


def as_numpy(x):
    return np.asarray(ops.convert_to_numpy(x))


def images(count=8, size=12, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, size, size, channels), dtype="uint8")


def is_uniform(samples, low, high):
    spread = stats.uniform(low, high - low)
    return stats.kstest(samples.ravel(), spread.cdf).pvalue > 1e-3


def crop(image, boxes, output_size, flip=None):
    """Crops of one image at boxes (top, left, height, width) in pixels."""
    top, left, height, width = (ops.convert_to_tensor(x) for x in boxes.T[:, None])
    size = image.shape[:2]
    rows = resampling.crop_matrix(top, height, size[0], output_size)
    columns = resampling.crop_matrix(left, width, size[1], output_size, flip)
    images = ops.convert_to_tensor(image.transpose(1, 2, 0)[None])
    strips = resampling.resample_columns(images, columns)
    return as_numpy(resampling.resample_rows(strips, rows))[0]


def random_boxes(count, size, rng, smallest):
    lengths = rng.uniform(smallest, size, (count, 2))
    starts = rng.uniform(0, 1, (count, 2)) * (size - lengths)
    return np.concatenate([starts, lengths], axis=1).astype("float32")


# Arithmetic


@pytest.mark.parametrize("size, output_size", [(40, 16), (16, 40), (33, 33)])
def test_crops_equal_antialiased_resize(size, output_size):
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 255, (size, size, 3)).astype("float32")
    boxes = random_boxes(30, size, rng, smallest=4)
    scale = output_size / boxes[:, 2:]
    for got, box, s in zip(crop(image, boxes, output_size), boxes, scale, strict=True):
        expected = tf.raw_ops.ScaleAndTranslate(
            images=image[None],
            size=[output_size, output_size],
            scale=s,
            translation=-box[:2] * s,
            kernel_type="triangle",
            antialias=True,
        )
        np.testing.assert_allclose(got, expected[0], atol=0.05)


def test_enlarged_crops_equal_crop_and_resize():
    rng = np.random.default_rng(0)
    size, output_size = 20, 24
    image = rng.uniform(0, 255, (size, size, 3)).astype("float32")
    boxes = random_boxes(30, size, rng, smallest=5)
    # It samples from the centre of the first to that of the last pixel of a box.
    first = boxes[:, :2] + 0.5 * boxes[:, 2:] / output_size - 0.5
    last = first + boxes[:, 2:] * (output_size - 1) / output_size
    inside = (first >= 0).all(axis=1) & (last <= size - 1).all(axis=1)
    assert inside.sum() > 10
    corners = np.concatenate([first, last], axis=1)[inside] / (size - 1)
    expected = tf.image.crop_and_resize(
        image[None], corners, np.zeros(inside.sum(), "int32"), (output_size,) * 2
    )
    got = crop(image, boxes[inside], output_size)
    np.testing.assert_allclose(got, expected, atol=0.05)


def test_without_augmentation_views_are_the_images():
    x = images()
    np.testing.assert_allclose(make(x), np.stack([x, x], axis=1), atol=1e-4)


def test_flip_is_exact():
    x = images(400)
    assert (make(x, flip=1)[:, 1] == x[:, :, ::-1]).all()
    views = make(x, flip=0.5)[:, 0]
    flipped = (views == x[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (flipped | (views == x).all(axis=(1, 2, 3))).all()
    assert 0.4 < flipped.mean() < 0.6


def test_grayscale_and_solarize_are_exact():
    x = images(400)
    luma = (x @ LUMA)[..., None]
    views = make(x, grayscale=0.3)[:, 1]
    gray = (np.abs(views - luma) < 1e-3).all(axis=(1, 2, 3))
    assert 0.2 < gray.mean() < 0.4
    np.testing.assert_allclose(views[~gray], x[~gray], atol=1e-3)
    inverted = np.where(x < 128, x, 255.0 - x)
    np.testing.assert_array_equal(make(x, solarize=1)[:, 0], inverted)
    some = (make(x, solarize=0.2) != x[:, None]).any(axis=(2, 3, 4))
    assert 0.15 < some.mean() < 0.25


@pytest.mark.parametrize("size", [16, 5])
def test_blur_equals_a_dense_convolution_with_mirrored_borders(size):
    x = images(4, size=size)
    views = make(x, blur=1, blur_sigma=(1.5, 1.5))
    radius = min(5, size - 1)
    taps = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * 1.5**2))
    kernel = np.outer(taps, taps) / taps.sum() ** 2
    padding = [(0, 0), (radius, radius), (radius, radius), (0, 0)]
    padded = np.pad(x.astype(float), padding, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape, (1, 2))
    expected = np.einsum("bhwcij,ij->bhwc", windows, kernel)
    np.testing.assert_allclose(views[:, 0], expected, atol=1e-3)
    sharp = (
        np.abs(make(images(400, 6), blur=0.5) - images(400, 6)[:, None]) < 1e-3
    ).all((2, 3, 4))
    assert 0.4 < sharp[:, 0].mean() < 0.6


def test_blur_follows_sigma():
    edge = np.repeat([[0] * 16 + [255] * 16], 32, axis=0)[None, ..., None]
    changes = {**NOTHING, "blur": 1, "blur_sigma": (0.5, 2.0)}
    layer = RandomViews(Augmentation(size=32, **changes), 2)
    share = as_numpy(layer(np.repeat(edge, 100, axis=0), step=0))[:, :, 16, 15, 0] / 255
    sigma = as_numpy(layer.draw(0, 100)["sigma"])[..., None]
    taps = np.exp(-(np.arange(-6, 7) ** 2) / (2 * sigma**2))
    expected = taps[..., 7:].sum(-1) / taps.sum(-1)
    np.testing.assert_allclose(share, expected, atol=1e-4)


@pytest.mark.parametrize("size", [(9, 11), (12, 10)])
def test_color_steps_equal_one_after_the_other(size):
    # Far enough from black and white.
    x = (images(50, 20)[:, :14] * 0.4 + 60).astype("float32")
    cropped = {**NOTHING, "size": size, "crop_area": (0.3, 1.0), "flip": 0.5}
    strengths = dict(brightness=0.2, contrast=0.3, saturation=0.4, hue=0.2)
    changes = {**cropped, **strengths, "jitter": 0.7, "grayscale": 0.3}
    layer = RandomViews(Augmentation(**changes), 2)
    drawn = {k: as_numpy(v) for k, v in layer.draw(0, 50).items()}
    got = as_numpy(layer(x, step=0))
    plain = as_numpy(RandomViews(Augmentation(**cropped), 2)(x, step=0))
    for image, view in ((i, v) for i in range(50) for v in range(2)):
        one = {name: values[image, view] for name, values in drawn.items()}
        expected = plain[image, view].astype("float64")
        if one["jitter"]:
            expected = expected * one["brightness"]
            mean = (expected @ LUMA).mean()
            expected = mean + one["contrast"] * (expected - mean)
            gray = (expected @ LUMA)[..., None]
            expected = gray + one["saturation"] * (expected - gray)
            expected = turned(expected, 2 * np.pi * one["hue"])
        if one["grayscale"]:
            expected = np.repeat((expected @ LUMA)[..., None], 3, axis=-1)
        expected = np.clip(expected, 0, 255)
        np.testing.assert_allclose(got[image, view], expected, atol=0.02)


def turned(pixels, angle):
    across = np.array([[2, -1, -1], [0, 3**0.5, -(3**0.5)]]) / 6**0.5
    a, b = np.moveaxis(pixels @ across.T, -1, 0)
    chroma = (a + 1j * b) * np.exp(1j * angle)
    chroma = np.stack([chroma.real, chroma.imag], -1) @ across
    return pixels.mean(-1, keepdims=True) + chroma


def test_hue_turns_about_grays_and_by_thirds_as_in_hsv():
    turns = np.array([0.0, 1.0, 0.1, -0.3], "float32")
    matrices = as_numpy(color.hue_matrix(ops.convert_to_tensor(turns)))
    np.testing.assert_allclose(matrices @ np.ones(3), np.ones((4, 3)), atol=1e-5)
    np.testing.assert_allclose(matrices[:2], np.eye(3)[None].repeat(2, 0), atol=1e-5)
    assert np.abs(matrices[2] - np.eye(3)).max() > 0.1
    pixels = np.random.default_rng(0).uniform(size=(500, 3))
    for turn, limit in ((1 / 3, 1e-5), (-1 / 3, 1e-5), (0.05, 0.05), (0.5, 0.15)):
        turn = np.float32(turn)
        got = pixels @ as_numpy(color.hue_matrix(ops.convert_to_tensor(turn))).T
        hue, saturation, value = np.moveaxis(
            np.array([colorsys.rgb_to_hsv(*x) for x in pixels]), -1, 0
        )
        hue = (hue + turn) % 1
        expected = [
            colorsys.hsv_to_rgb(*x) for x in zip(hue, saturation, value, strict=True)
        ]
        assert np.abs(np.clip(got, 0, 1) - expected).mean() < limit, turn


# Draws


def test_drawn_parameters_have_the_distributions_asked_for():
    drawn = draws(
        crop_area=(0.2, 0.6),
        crop_aspect=(0.5, 2),
        flip=0.3,
        blur=0.4,
        solarize=0.2,
        brightness=0.4,
        contrast=1.5,
        saturation=0.2,
        hue=0.1,
    )
    ranges = {
        "area": (0.2, 0.6),
        "top": (0, 1),
        "left": (0, 1),
        "sigma": (0.1, 2.0),
        "brightness": (0.6, 1.4),
        "contrast": (0, 2.5),
        "saturation": (0.8, 1.2),
        "hue": (-0.1, 0.1),
    }
    for name, (low, high) in ranges.items():
        for view in (0, 1):
            assert is_uniform(drawn[name][:, view], low, high), name
    assert is_uniform(np.log(drawn["aspect"]), np.log(0.5), np.log(2))
    rates = dict(flip=0.3, blur=0.4, jitter=0.8, grayscale=0.2, solarize=0.2)
    for name, rate in rates.items():
        assert drawn[name].mean() == pytest.approx(rate, abs=0.03), name
    # Independent of each other, across views and across neighbouring images.
    columns = [x for v in drawn.values() for x in (v[:-1, 0], v[:-1, 1], v[1:, 0])]
    correlations = np.corrcoef(columns) - np.eye(len(columns))
    assert np.abs(correlations).max() < 0.1


def test_crops_are_where_they_are_drawn():
    # Coordinates as pixel values: a crop's pixels tell where it is.
    y, x = np.meshgrid(np.arange(64.0), np.arange(64.0), indexing="ij")
    ramp = np.stack([y, x, 0 * x], axis=-1)[None].repeat(200, axis=0).astype("float32")
    changes = {**NOTHING, "crop_area": (0.2, 0.6), "crop_aspect": (3 / 4, 4 / 3)}
    layer = RandomViews(Augmentation(size=16, **changes), 2)
    views, drawn = as_numpy(layer(ramp, step=0)), layer.draw(0, 200)
    drawn = {name: as_numpy(values) for name, values in drawn.items()}
    height = np.sqrt(drawn["area"] / drawn["aspect"])
    width = np.sqrt(drawn["area"] * drawn["aspect"])
    # To a few hundredths of a pixel: weights on whole pixels have their centre there.
    middle = views[:, :, 7:9, 7:9].mean(axis=(2, 3)) + 0.5
    for channel, place, share in ((0, "top", height), (1, "left", width)):
        center = 64 * (drawn[place] * (1 - share) + share / 2)
        np.testing.assert_allclose(middle[..., channel], center, atol=0.06)
    step = (views[:, :, 9] - views[:, :, 6]).mean(axis=2)[..., 0] / 3
    np.testing.assert_allclose(step, 64 * height / 16, rtol=0.05)


def test_views_are_a_function_of_seed_step_place_and_view():
    # The same image eight times, so that only the draws can tell views apart.
    x = np.repeat(images(1), 8, axis=0)
    augmentation = Augmentation.preset("cifar10")
    layer = RandomViews(augmentation, 4)
    views = as_numpy(layer(x, step=3)).reshape(32, -1)
    assert len(np.unique(views.round(1), axis=0)) == 32
    again = as_numpy(RandomViews(augmentation, 4)(x, step=3)).reshape(32, -1)
    np.testing.assert_array_equal(views, again)
    for seed, step in ((0, 4), (1, 3), (3, 0), (1, 2), (2, 1)):
        other = as_numpy(RandomViews(augmentation, 4, seed)(x, step=step))
        assert not (other.reshape(32, -1) == views).all(axis=1).any()
    for start, stop in ((0, 4), (3, 8)):
        part = layer(x[start:stop], step=3, offset=start, batch_size=8)
        part = as_numpy(part).reshape(-1, views.shape[-1])
        np.testing.assert_allclose(part, views[4 * start : 4 * stop], atol=1e-3)


def test_training_calls_count_steps_and_others_do_not():
    x = images()
    layer = RandomViews(Augmentation(size=12), 3)
    first, second = (as_numpy(layer(x, training=True)) for _ in range(2))
    assert int(layer.step) == 2
    for step, views in ((0, first), (1, second)):
        np.testing.assert_allclose(as_numpy(layer(x, step=step)), views, atol=1e-3)
    layer(x), layer(x, training=False), layer(x, step=5, training=True)
    assert int(layer.step) == 2


# Contract


def test_inactive_outside_training():
    x = images()
    same = as_numpy(RandomViews(Augmentation(size=12), 3)(x))
    np.testing.assert_array_equal(same, x[:, None])
    smaller = as_numpy(RandomViews(Augmentation(size=(8, 20)), 3)(x))
    expected = tf.image.resize(x, (8, 20), antialias=True)
    np.testing.assert_allclose(smaller[:, 0], expected, atol=0.01)


def test_compiles_to_the_same_views():
    x, layer = images(), RandomViews(Augmentation.preset("imagenet100"), 2)
    expected = layer(x, step=ops.convert_to_tensor(1))
    if keras.backend.backend() == "tensorflow":
        compiled = tf.function(lambda x: layer(x, step=1), jit_compile=True)
    elif keras.backend.backend() == "jax":
        import jax

        compiled = jax.jit(lambda x: layer(x, step=1))
    else:
        pytest.skip("torch runs eagerly.")
    # A pixel within rounding of 128 may be inverted or not.
    difference = np.abs(as_numpy(compiled(x)) - as_numpy(expected))
    assert (difference > 1e-3).mean() < 1e-3


def test_in_tf_data_with_tensorflow_alone(monkeypatch):
    from keras_mvssl import data

    monkeypatch.setattr(data.pipeline, "CHUNK_VALUES", 30 * 12 * 12 * 3)
    layer = RandomViews(Augmentation(size=8), 2)
    if keras.backend.backend() != "tensorflow":
        with pytest.raises(ValueError, match="`KerasCVViews` in tf.data.*Received"):
            data.multiview(images(), layer, batch_size=4)
        return
    one, four = (
        next(iter(data.multiview(images(80), layer, 70, workers=workers)))
        for workers in (1, 4)
    )
    assert one.shape == (70, 2, 8, 8, 3)
    np.testing.assert_array_equal(one, four)


def test_any_channels_precision_and_config():
    plain = dict(saturation=0, hue=0, grayscale=0)
    for channels in (1, 5):
        x = images(channels=channels)
        layer = RandomViews(Augmentation(size=(8, 10), blur=0.5, **plain), 2, seed=3)
        expected = as_numpy(layer(x, step=0))
        assert expected.shape == (8, 2, 8, 10, channels)
    copy = RandomViews.from_config(layer.get_config())
    np.testing.assert_array_equal(as_numpy(copy(x, step=0)), expected)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        low = RandomViews(layer.augmentation, 2, seed=3)(x.astype("float32"), step=0)
    finally:
        keras.config.set_dtype_policy(policy)
    np.testing.assert_array_equal(as_numpy(low), expected)


def test_views_stay_within_the_range():
    x = 255 * np.random.default_rng(0).integers(0, 2, (16, 20, 14, 3), dtype="uint8")
    colorless = dict(jitter=0, grayscale=0)
    for changes in (dict(blur=1, solarize=0.5, **colorless), dict(hue=0.5, blur=0.5)):
        layer = RandomViews(Augmentation(size=(32, 24), **changes), 4)
        for views in (layer(x, step=0), layer(x)):
            views = as_numpy(views)
            assert views.min() >= 0 and views.max() <= 255


def test_a_part_lies_within_its_batch():
    layer = RandomViews(Augmentation(size=8), 2)
    x = images()
    whole = as_numpy(layer(x, step=0))
    part = layer(x[4:6], training=True, offset=4, batch_size=8)
    np.testing.assert_allclose(as_numpy(part), whole[4:6], atol=1e-3)
    for place in (dict(offset=6, batch_size=8), dict(batch_size=1), dict(offset=-1)):
        with pytest.raises(ValueError, match="(within the|`offset`).*Received: offs"):
            layer(x[:4], step=0, **place)


def test_bad_input():
    augmentation = Augmentation(size=8)
    for arguments, name in (((augmentation, 1), "views"), (("cifar10", 2), "augmen")):
        with pytest.raises(ValueError, match=f"`{name}.*Received"):
            RandomViews(*arguments)
    with pytest.raises(ValueError, match="`seed`.*seed=-1"):
        RandomViews(augmentation, 2, seed=-1)
    with pytest.raises(ValueError, match="`seed`.*seed=9223372036854775808"):
        RandomViews(augmentation, 2, seed=2**63)
    layer = RandomViews(augmentation, 2)
    with pytest.raises(ValueError, match=r"\(B, H, W, C\).*\(12, 12, 3\)"):
        layer(images()[0], step=0)
    with pytest.raises(ValueError, match="need RGB.*12, 12, 5"):
        layer(images(channels=5), step=0)
    with pytest.raises(ValueError, match="Multiply them by 255"):
        layer(images() / 255.0, step=0)
    with pytest.raises(ValueError, match="within.*Received: minimum=-100"):
        layer(images() - 100.0, step=0)
    with pytest.raises(ValueError, match="within.*Received"):
        layer(images().astype("int32") + 200, step=0)


# The two engines


@pytest.mark.parametrize("hue", [0, 0.1, 0.5])
@pytest.mark.parametrize("preset", ["cifar10", "stl10", "imagenet100"])
def test_engines_make_views_of_the_same_mean_and_spread(preset, hue):
    settings = Augmentation.preset(preset).get_config()
    augmentation = Augmentation(**{**settings, "size": 32, "hue": hue, "blur": 0.5})
    # Smooth images, as photographs are.
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 255, (400, 6, 6, 3))
    x = np.asarray(tf.image.resize(x, (32, 32), "bicubic"))
    x = np.clip(x, 0, 255).round().astype("uint8")
    one, other = (
        as_numpy(engine(augmentation, 2)(x, step=0)).astype("float64")
        for engine in (KerasCVViews, RandomViews)
    )
    for statistic in (np.mean, np.std):
        difference = statistic(one, (0, 1, 2, 3)) - statistic(other, (0, 1, 2, 3))
        assert np.abs(difference).max() < 0.02 * 255
    for statistic in (np.mean, np.std):
        samples = (statistic(views[:, 0], (1, 2, 3)) for views in (one, other))
        assert stats.ks_2samp(*samples).pvalue > 1e-3


@pytest.mark.parametrize("step", ["brightness", "contrast", "saturation", "crop"])
def test_engines_draw_from_the_same_distributions(step):
    size = 16
    y, x = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    image = np.stack([60 + 4 * y, 60 + 4 * x, 120 + 0 * x], -1).astype("uint8")
    x = np.repeat(image[None], 600, axis=0)
    changes = {**COLORS, step: 0.3}
    if step == "crop":
        changes = dict(crop_area=(0.1, 0.9), crop_aspect=(0.5, 2.0))
    augmentation = Augmentation(size=size, **{**NOTHING, **changes})
    samples = []
    for engine in (KerasCVViews, RandomViews):
        views = as_numpy(engine(augmentation, 2)(x, step=0)).astype("float64")
        slope = (views[..., -3, :, 0] - views[..., 2, :, 0]).mean(-1)
        samples.append((slope / (size - 5) + views[..., 2].mean((2, 3)) / 100)[:, 0])
    assert stats.ks_2samp(*samples).pvalue > 1e-3


REPLICAS = """
import keras
import numpy as np
import keras_mvssl as mv

images = np.random.default_rng(0).integers(0, 256, (8, 12, 12, 3), dtype="uint8")

@keras.saving.register_keras_serializable()
def shift(views, draws):
    return views + 20.0 * keras.ops.reshape(draws("shift"), (-1, 1, 1, 1))

def make():
    return mv.views.RandomViews(mv.views.Augmentation(size=12), 2, extra=[shift])

one = make()
expected = [np.asarray(one(images, training=True)) for _ in range(2)]
if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    devices = tf.config.list_logical_devices("CPU")
    for count in (2, 4):
        names = [d.name for d in devices][:count]
        strategy = tf.distribute.MirroredStrategy(names)
        with strategy.scope():
            layer = make()
        for step in range(2):
            parts = strategy.experimental_distribute_values_from_function(
                lambda c: tf.constant(
                    np.split(images, count)[c.replica_id_in_sync_group]
                )
            )
            # In training, and in evaluation.
            for arguments in (dict(training=True), dict(step=step)):
                views = strategy.run(lambda x: layer(x, **arguments), (parts,))
                views = np.concatenate([np.asarray(v) for v in views.values])
                np.testing.assert_allclose(views, expected[step], atol=1e-3)
else:
    import jax
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    for count in (2, 4):
        mesh = Mesh(jax.devices()[:count], "batch")
        placed = jax.device_put(images, NamedSharding(mesh, PartitionSpec("batch")))
        assert len(placed.sharding.device_set) == count
        views = jax.jit(lambda x: one(x, step=1))(placed)
        np.testing.assert_allclose(np.asarray(views), expected[1], atol=1e-3)
print(int(one.step.value), "passed")
"""


def test_replicas_make_the_views_of_one():
    backend = keras.backend.backend()
    if backend == "torch":
        pytest.skip("torch starts processes.")
    prelude = (
        "import tensorflow as tf\n"
        "cpu = tf.config.list_physical_devices('CPU')[0]\n"
        "four = [tf.config.LogicalDeviceConfiguration()] * 4\n"
        "tf.config.set_logical_device_configuration(cpu, four)\n"
        if backend == "tensorflow"
        else "import os\nos.environ['XLA_FLAGS'] = "
        "'--xla_force_host_platform_device_count=4'\n"
    )
    result = helpers.run_script("-c", prelude + REPLICAS, backend=backend)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "2 passed"


@pytest.mark.parametrize("count", [2, 4])
def test_processes_of_torch_make_the_views_of_one(count, monkeypatch):
    if keras.backend.backend() != "torch":
        pytest.skip("Other backends have replicas.")
    x, layer = images(), RandomViews(Augmentation(size=12), 2)
    whole = as_numpy(layer(x, step=0))
    for rank, part in enumerate(np.split(x, count)):
        monkeypatch.setattr(
            distribution.placement, "processes", lambda r=rank: (r, count)
        )
        layer.step.assign(0)
        expected = np.split(whole, count)[rank]
        np.testing.assert_allclose(
            as_numpy(layer(part, training=True)), expected, atol=1e-3
        )
