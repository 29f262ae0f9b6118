import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from keras_mvssl.views import Augmentation
from keras_mvssl.views import KerasCVViews

NOTHING = dict(crop_area=(1, 1), crop_aspect=(1, 1), flip=0, jitter=0, grayscale=0)


def make(images, step=0, views=2, size=None, **changes):
    """Views with a single kind of change, as float64."""
    size = size or images.shape[1:3]
    augmentation = Augmentation(size=size, **{**NOTHING, **changes})
    return np.asarray(KerasCVViews(augmentation, views)(images, step), "float64")


def images(count=8, size=12, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, size, size, channels), dtype="uint8")


def flat_images(count, *values):
    """Images of one colour each."""
    return np.ones((count, 4, 4, 1), "uint8") * np.array(values, "uint8")


def is_uniform(samples, low, high):
    """Kolmogorov-Smirnov at p = 1e-3."""
    samples = (np.sort(samples) - low) / (high - low)
    n = len(samples)
    distance = max(
        np.abs(samples - np.arange(n) / n).max(),
        np.abs(samples - (np.arange(n) + 1) / n).max(),
    )
    return distance < 1.95 / np.sqrt(n)


def test_layout_and_type():
    views = KerasCVViews(Augmentation(size=(10, 14)), 3)(images(4), 0)
    assert views.shape == (4, 3, 10, 14, 3) and views.dtype == tf.uint8


def test_without_augmentation_views_are_the_images():
    x = images()
    np.testing.assert_array_equal(make(x), np.stack([x, x], axis=1))


def test_every_image_and_view_differs_and_depends_on_seed_and_step():
    # The same image eight times, so that only the draws can tell views apart.
    x = np.repeat(images(1), 8, axis=0)
    augmentation = Augmentation.preset("cifar10")
    views = np.asarray(KerasCVViews(augmentation, 4)(x, 3)).reshape(32, -1)
    assert len(np.unique(views, axis=0)) == 32
    again = np.asarray(KerasCVViews(augmentation, 4)(x, 3)).reshape(32, -1)
    np.testing.assert_array_equal(views, again)
    for seed, step in ((0, 4), (1, 3), (3, 0), (1, 2), (2, 1)):
        other = np.asarray(KerasCVViews(augmentation, 4, seed)(x, step))
        assert not (other.reshape(32, -1) == views).all(axis=1).any()


def test_part_of_a_batch_gets_the_views_of_its_place():
    x = images(10)
    augmentation = Augmentation.preset("imagenet100")
    make_views = KerasCVViews(augmentation, 3)
    whole = np.asarray(make_views(x, 7))
    for start, stop in ((0, 4), (4, 10), (9, 10)):
        part = make_views(x[start:stop], 7, offset=start, batch_size=10)
        np.testing.assert_array_equal(np.asarray(part), whole[start:stop])


def test_without_a_step_each_call_draws_anew():
    x = images()
    make_views = KerasCVViews(Augmentation(size=12), 2)
    assert (np.asarray(make_views(x)) != np.asarray(make_views(x))).any()


def test_flip():
    x = images(400)
    views = make(x, flip=0.5)[:, 0]
    flipped = (views == x[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (flipped | (views == x).all(axis=(1, 2, 3))).all()
    assert 0.4 < flipped.mean() < 0.6
    assert (make(x, flip=1)[:, 1] == x[:, :, ::-1]).all()


def test_grayscale_and_solarize():
    x = images(400)
    luma = np.rint(x @ np.array([0.2989, 0.5870, 0.1140]))[..., None]
    views = make(x, grayscale=0.3)[:, 1]
    gray = (np.abs(views - luma) <= 1).all(axis=(1, 2, 3))
    assert 0.2 < gray.mean() < 0.4
    inverted = np.where(x < 128, x, 255 - x)
    np.testing.assert_array_equal(make(x, solarize=1)[:, 0], inverted)


def test_brightness_scales_by_a_uniform_factor():
    one = dict(contrast=0, saturation=0, hue=0)
    views = make(flat_images(1000, 100, 50, 150), jitter=1, brightness=0.4, **one)
    factors = views[:, :, 0, 0, 0] / 100
    np.testing.assert_allclose(views[:, 0, 0, 0, 2], 150 * factors[:, 0], atol=1.3)
    for view in (0, 1):
        assert is_uniform(factors[:, view], 0.6, 1.4)
    assert abs(np.corrcoef(factors.T)[0, 1]) < 0.1
    applied = make(flat_images(1000, 100), jitter=0.8, brightness=0.4, **one) != 100
    assert 0.75 < applied[:, 0, 0, 0, 0].mean() < 0.85


def test_contrast_and_saturation_blend_with_gray():
    x = images(50)
    luma = x @ np.array([0.2989, 0.5870, 0.1140])
    bases = {
        "contrast": luma.mean(axis=(1, 2))[:, None, None, None],
        "saturation": luma[..., None],
    }
    for name, base in bases.items():
        strengths = dict(brightness=0, contrast=0, saturation=0, hue=0)
        views = make(x, jitter=1, **{**strengths, name: 0.5})[:, 0]
        away = x - base
        inside = (views > 0) & (views < 255) & (np.abs(away) > 60)
        factors = np.where(inside, (views - base) / np.where(inside, away, 1), np.nan)
        spread = np.nanmax(factors, axis=(1, 2, 3)) - np.nanmin(factors, axis=(1, 2, 3))
        assert spread.max() < 0.05
        assert is_uniform(np.nanmean(factors, axis=(1, 2, 3)), 0.5, 1.5)


def test_hue_turns_by_a_uniform_angle():
    views = make(
        flat_images(1000, 200, 50, 50),
        jitter=1,
        brightness=0,
        contrast=0,
        saturation=0,
        hue=0.1,
    )[:, 0, 0, 0]
    hue = np.asarray(tf.image.rgb_to_hsv(views / 255))[:, 0]
    assert is_uniform((hue + 0.5) % 1 - 0.5, -0.1, 0.1)
    np.testing.assert_allclose(views.max(axis=1), 200, atol=1)


def test_crops_cover_the_area_and_aspect_asked_for():
    # Coordinates as pixel values: a crop's corners tell its box.
    axis = np.linspace(0, 255, 64)
    x, y = np.meshgrid(axis, axis)
    ramp = np.stack([y, x, 0 * x], axis=-1)[None].repeat(1000, axis=0).astype("float32")
    views = make(ramp, crop_area=(0.2, 0.6), crop_aspect=(3 / 4, 4 / 3), views=2)
    height = (views[:, :, -1, 0, 0] - views[:, :, 0, 0, 0]) / 255
    width = (views[:, :, 0, -1, 1] - views[:, :, 0, 0, 1]) / 255
    top, left = views[:, :, 0, 0, 0] / 255, views[:, :, 0, 0, 1] / 255
    place = top / (1 - height), left / (1 - width)
    assert abs(np.corrcoef(place[0].ravel(), place[1].ravel())[0, 1]) < 0.1
    for view in (0, 1):
        assert is_uniform(place[0][:, view], 0, 1)
        assert is_uniform(place[1][:, view], 0, 1)
        assert is_uniform((height * width)[:, view], 0.2, 0.6)
        aspect = np.log((width / height)[:, view])
        assert is_uniform(aspect, np.log(3 / 4), np.log(4 / 3))
    assert abs(np.corrcoef(height.T)[0, 1]) < 0.1


def test_blur_is_gaussian_with_mirrored_borders():
    x = images(4, size=16)
    views = make(x, blur=1, blur_sigma=(1.5, 1.5))
    taps = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    expected = np.pad(x.astype(float), [(0, 0), (5, 5), (5, 5), (0, 0)], mode="reflect")
    for axis in (1, 2):
        expected = np.apply_along_axis(
            lambda row: np.convolve(row, taps / taps.sum(), "valid"), axis, expected
        )
    np.testing.assert_allclose(views[:, 0], expected, atol=0.6)
    edge = np.repeat([[0] * 16 + [255] * 16], 32, axis=0)[None, ..., None]
    blurred = make(np.repeat(edge, 400, axis=0), blur=1, blur_sigma=(0.5, 2.0))
    # A step blurred at sigma falls to Φ(-0.5 / sigma) a half pixel away from it.
    share = blurred[:, 0, 16, 15, 0] / 255
    assert is_uniform(-0.5 / stats.norm.ppf(share), 0.5, 2.0)
    sharp = (make(images(400, 6), blur=0.5) == images(400, 6)[:, None]).all((2, 3, 4))
    assert 0.4 < sharp[:, 0].mean() < 0.6


def test_other_numbers_of_channels():
    plain = dict(saturation=0, hue=0, grayscale=0)
    x = images(channels=5)
    assert KerasCVViews(Augmentation(size=8, **plain), 2)(x, 0).shape[-1] == 5
    with pytest.raises(ValueError, match="need RGB.*12, 12, 5"):
        KerasCVViews(Augmentation(size=8), 2)(x, 0)


def test_computes_in_float32_under_any_policy():
    x, augmentation = images(), Augmentation.preset("cifar10")
    expected = np.asarray(KerasCVViews(augmentation, 2)(x, 0))
    policy = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        got = np.asarray(KerasCVViews(augmentation, 2)(x, 0))
    finally:
        keras.mixed_precision.set_dtype_policy(policy)
    np.testing.assert_array_equal(got, expected)


def test_bad_input():
    with pytest.raises(ValueError, match="`views`.*views=1"):
        KerasCVViews(Augmentation(size=8), 1)
    make_views = KerasCVViews(Augmentation(size=8), 2)
    with pytest.raises(ValueError, match=r"batch before.*\(12, 12, 3\)"):
        make_views(images()[0], 0)
    with pytest.raises(ValueError, match="Multiply them by 255"):
        make_views(images() / 255.0, 0)
    with pytest.raises(ValueError, match="must be an Augmentation"):
        KerasCVViews("cifar10", 2)
    for bad in (images() - 100.0, images().astype("int32") + 200):
        stream = tf.data.Dataset.from_tensors(bad).map(make_views)
        with pytest.raises(tf.errors.InvalidArgumentError, match="within"):
            list(stream)


def test_steps_seeds_and_places_do_not_wrap():
    augmentation = Augmentation(size=8)
    x = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype("uint8")
    layer = KerasCVViews(augmentation, 2)
    steps = (0, 2**31, 2**32, 2**63 - 1, np.int64(2**33))
    made = [layer(x, step=step).numpy().tobytes() for step in steps]
    for seed in (2**32, 2**63 - 1):
        made.append(KerasCVViews(augmentation, 2, seed)(x, 0).numpy().tobytes())
    assert len(set(made)) == len(made)
    for wrong in (
        *(dict(step=-1), dict(step=2**63), dict(step=1.5), dict(step=0, offset=-1)),
        *(dict(step=0, offset=2**30), dict(step=0, offset=2, batch_size=4)),
    ):
        with pytest.raises(ValueError, match="(must be an int|within the).*Received"):
            layer(x, **wrong)
