"""The draws of views: equal everywhere, good, and a function of their place alone."""

import pathlib
import zlib

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from keras_mvssl.views import Augmentation
from keras_mvssl.views import RandomViews
from keras_mvssl.views.draws import Draws
from keras_mvssl.views.parameters import CHOICES
from keras_mvssl.views.parameters import NUMBERS

NAMES = NUMBERS + CHOICES


def mixed(x):
    """Mix the bits of uint32 words, as published."""
    x ^= x >> 16
    x *= np.uint32(0x7FEB352D)
    x ^= x >> 15
    x *= np.uint32(0x846CA68B)
    return x ^ x >> 16


def reference(seed, steps, places, names, views):
    """Words `(names, steps, B, V)`, with NumPy's unsigned integers."""
    w = np.random.SeedSequence(seed).generate_state(4)
    steps = np.array(steps, "uint32")[:, None]
    places = mixed(np.array(places, "uint32") + (mixed(steps ^ w[0]) + w[1]))
    places = mixed(places ^ (mixed(steps ^ w[2]) + w[3]))[:, :, None]

    def constants(name):
        keys = ([zlib.crc32(name.encode()), view] for view in range(views))
        return np.concatenate(
            [np.random.SeedSequence(key).generate_state(1) for key in keys]
        )

    return np.stack([mixed(places ^ constants(name)) for name in names])


def drawn(seed, step, places, names, views):
    """The same as the upper 24 bits that `Draws` makes floats of, `(names, B, V)`."""
    places = ops.convert_to_tensor(np.array(places, "int32"))
    return Draws(seed, step, places, views).all(names)


def bits(floats):
    return (ops.convert_to_numpy(floats) * 2.0**24).astype("int32")


def compiled_kinds():
    """The ways of the backend to call a function: itself, and compiled."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return [
            lambda function: function,
            tf.function,
            lambda function: tf.function(function, jit_compile=True),
        ]
    if keras.backend.backend() == "jax":
        import jax

        return [lambda function: function, jax.jit]
    return [lambda function: function]


SEEDS = 0, 1, 2**31, 2**32 + 5, 2**63 - 1


@pytest.mark.parametrize("seed", SEEDS)
def test_draws_are_numpys_compiled_or_not(seed):
    places = [0, 1, 77, 65535, 2**31 - 1]
    for kind in compiled_kinds():
        draw = kind(lambda step: drawn(seed, step, places, NAMES, 3))
        for step in (0, 1, 12345, 2**31 - 1):
            expected = reference(seed, [step], places, NAMES, 3)[:, 0] >> 8
            got = draw(ops.convert_to_tensor(step, "int32"))
            np.testing.assert_array_equal(bits(got), expected)


# Times 2**24, of seed 3 and step 1000: places 0 and 63 in rows, views in columns.
RECORDED = {
    "area": [[5916974, 6737310], [16347237, 7849611]],
    "flip": [[16288819, 1445797], [14173140, 11987471]],
}
# Of place 63 and view 1 with the preset "imagenet100", in float64.
RECORDED_PARAMETERS = {
    "area": 0.5104434132575989,
    "aspect": 1.2157355295004877,
    "top": 0.7558530569076538,
    "left": 0.14290326833724976,
    "sigma": 0.20282914042472838,
    "brightness": 0.9844351768493651,
    "contrast": 0.6781264781951903,
    "saturation": 1.2867451667785643,
    "hue": 0.003911817073822016,
    "flip": False,
    "blur": False,
    "jitter": True,
    "grayscale": True,
    "solarize": False,
}


def test_recorded_numbers():
    draws = Draws(3, 1000, ops.convert_to_tensor(np.array([0, 63], "int32")), 2)
    for name, expected in RECORDED.items():
        np.testing.assert_array_equal(bits(draws(name)), expected)
    layer = RandomViews(Augmentation.preset("imagenet100"), 2, seed=3)
    for kind in compiled_kinds():
        found = kind(lambda: layer.draw(1000, 64))()
        assert set(found) == set(RECORDED_PARAMETERS)
        for name, expected in RECORDED_PARAMETERS.items():
            value = ops.convert_to_numpy(found[name])[63, 1]
            np.testing.assert_allclose(value, expected, rtol=1e-6, err_msg=name)


def test_recorded_views():
    # The file holds the views that PyTorch made, (4, 3, 5, 6, 3).
    expected = np.load(pathlib.Path(__file__).with_name("recorded_views.npy"))
    images = (np.arange(4 * 9 * 8 * 3) ** 2 % 251).reshape(4, 9, 8, 3).astype("uint8")
    augmentation = Augmentation(size=(5, 6), blur=0.5, solarize=0.2, jitter=0.7)
    layer = RandomViews(augmentation, 3, seed=9)
    for kind in compiled_kinds():
        make = kind(lambda x: layer(x, step=20))
        views = ops.convert_to_numpy(make(ops.convert_to_tensor(images)))
        np.testing.assert_allclose(views, expected, atol=1e-3)


def test_numbers_of_any_type(images):
    layer = RandomViews(Augmentation(size=12), 2, seed=np.int64(2**40 + 3))
    expected = ops.convert_to_numpy(layer(images, step=7, offset=2, batch_size=10))
    whole = RandomViews(Augmentation(size=12), 2, seed=3)(images, step=7, offset=2)
    assert np.abs(expected - ops.convert_to_numpy(whole)).mean() > 1
    for make in (
        *(np.int64, np.uint8, np.array, lambda x: ops.convert_to_tensor(np.int64(x))),
        *(lambda x, t=t: ops.convert_to_tensor(x, t) for t in ("int32", "uint8")),
    ):
        found = layer(images, step=make(7), offset=make(2))
        np.testing.assert_array_equal(ops.convert_to_numpy(found), expected)
    for place in (
        *(dict(offset=np.int64(-1)), dict(offset=np.int64(3), batch_size=10)),
        *(dict(offset=2**31 - 8), dict(offset=2**32), dict(offset=0.5)),
        dict(batch_size=np.float32(8)),
    ):
        with pytest.raises(ValueError, match="(within the|must be an int).*Received"):
            layer(images, step=0, **place)
    for step in (-1, 2**63, 1.5, np.float32(1), ops.convert_to_tensor(1.0)):
        with pytest.raises(ValueError, match="`step` must be.*Received: step="):
            layer(images, step=step)


def test_steps_and_seeds_do_not_wrap(images):
    """Each has numbers of its own, where 32 bits do not hold it."""
    augmentation = Augmentation(size=12)
    steps = [0, 1, 2**31 - 1, 2**31, 2**32, 2**32 + 1, 2**33, 2**62, 2**63 - 1]
    layer = RandomViews(augmentation, 2)
    drawn = [bits(layer.draw(step, 8)["top"]) for step in steps]
    for seed in (1, 2**32, 2**32 + 1, 2**63 - 1):
        drawn.append(bits(RandomViews(augmentation, 2, seed).draw(0, 8)["top"]))
    assert len({x.tobytes() for x in drawn}) == len(drawn)
    whole = np.concatenate([x.ravel() for x in drawn])
    assert len(np.unique(whole)) > len(whole) - 5  # no rows of another, moved


def test_wide_tensors_do_not_wrap():
    if keras.backend.backend() == "jax":
        pytest.skip("JAX has no int64 unless it is switched on.")
    layer = RandomViews(Augmentation(size=8), 2)
    for kind in compiled_kinds():
        draw = kind(lambda step, place: layer.draw(step, 3, place)["top"])
        for step in (5, 2**31, 2**32 + 5, 2**63 - 1):
            wide = ops.convert_to_tensor(np.array(step, "int64"))
            found = bits(draw(wide, ops.convert_to_tensor(np.array(0, "int64"))))
            np.testing.assert_array_equal(found, bits(layer.draw(step, 3)["top"]))
        places = [np.array(place, "int64") for place in (1, 2**32 + 1)]
        one, other = (bits(draw(wide, ops.convert_to_tensor(x))) for x in places)
        assert (one != other).all()


def test_parameters_near_zero_are_rounded_alike():
    augmentation = Augmentation(size=8, crop_area=(0.001, 1), blur_sigma=(0.001, 2))
    layer = RandomViews(augmentation, 2)
    expected, *others = (
        kind(lambda: layer.draw(0, 5000))() for kind in compiled_kinds()
    )
    for found in others:
        for name in NUMBERS:
            one, other = (ops.convert_to_numpy(x[name]) for x in (expected, found))
            np.testing.assert_allclose(one, other, rtol=1e-6, err_msg=name)


def test_other_places_names_and_views_change_nothing():
    whole = bits(drawn(5, 7, range(64), NAMES, 8))
    part = bits(drawn(5, 7, range(20, 30), NAMES[::-1], 2))
    np.testing.assert_array_equal(part[::-1], whole[:, 20:30, :2])
    one = Draws(5, 7, ops.arange(64, dtype="int32"), 8)("top")
    np.testing.assert_array_equal(bits(one), whole[NAMES.index("top")])


# The quality is a property of the words, and the words are NumPy's on every backend.


def uniform(*args):
    return (reference(*args) >> 8) * 2.0**-24


@pytest.mark.once
def test_numbers_are_uniform():
    numbers = uniform(11, range(500), range(500), NAMES, 4)  # a million for each name
    for name, values in zip(NAMES, numbers, strict=True):
        assert stats.kstest(values.ravel(), "uniform").pvalue > 1e-3, name


def standard_errors(one, other):
    """Their correlation over its standard error."""
    return abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) * one.size**0.5


@pytest.mark.once
def test_neighbours_are_not_correlated():
    numbers = uniform(11, range(300), range(128), NAMES, 8)
    for axis in (1, 2, 3):  # steps, places, views
        first, second = (
            np.take(numbers, np.arange(numbers.shape[axis] - 1) + shift, axis)
            for shift in (0, 1)
        )
        assert standard_errors(first, second) < 5
    for i, one in enumerate(numbers):
        for other in numbers[:i]:
            assert standard_errors(one, other) < 5
    seeds = np.stack(
        [uniform(seed, range(10), range(16), NAMES[:4], 2) for seed in range(1001)]
    )
    assert standard_errors(seeds[1:], seeds[:-1]) < 5
    assert standard_errors(seeds[0], seeds[1000]) < 5


@pytest.mark.once
def test_near_seeds_are_unrelated():
    rng = np.random.default_rng(0)
    for seed in [0, 2**63 - 9, *rng.integers(0, 2**63 - 9, 50)]:
        one, *others = (
            reference(int(seed) + d, range(4), range(64), ("area",), 2).ravel()
            for d in (0, 1, 2, 8)
        )
        for other in others:
            # Of 512 words, half of the bits differ, and no word is the same.
            different = np.bitwise_count(one ^ other)
            assert abs(different.mean() - 16) < 5 * 8**0.5 / len(one) ** 0.5
            assert (one != other).all()


@pytest.mark.once
def test_bits_are_balanced():
    words = reference(11, range(300), range(128), NAMES, 4)
    for bit in range(32):
        share = (words >> bit & 1).mean()
        assert abs(share - 0.5) * 2 * words.size**0.5 < 5, bit


def test_few_words_occur_twice():
    words = reference(0, range(100), range(256), ("area",), 4)
    pairs = words.size * (words.size - 1) / 2
    equal = words.size - len(np.unique(words))
    assert equal < 5 * max(1, pairs / 2**32)


# What the device is asked


def test_nothing_is_read_from_the_device(images):
    if keras.backend.backend() != "torch":
        pytest.skip("TensorFlow and JAX compile the layer, and then cannot read.")
    from torch.overrides import TorchFunctionMode
    from torch.utils._python_dispatch import TorchDispatchMode

    reads = []

    class Calls(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            name = getattr(function, "__name__", str(function))
            if name in (
                *("item", "tolist", "numpy", "cpu", "__bool__", "__int__"),
                *("__float__", "__index__", "__array__", "nonzero", "equal"),
            ):
                reads.append(name)
            return function(*args, **(kwargs or {}))

    class Operations(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if "_local_scalar_dense" in str(function):
                reads.append(str(function))
            return function(*args, **(kwargs or {}))

    @keras.saving.register_keras_serializable("tests")
    def add(views, draws):
        return views + 10.0 * ops.reshape(draws("shift"), (-1, 1, 1, 1))

    augmentation = Augmentation(size=8, blur=0.5, solarize=0.2)
    layer = RandomViews(augmentation, 3, extra=[add])
    device = ops.convert_to_tensor(images.astype("float32"))
    with Calls(), Operations():
        layer(device, training=True)
        layer(device, step=ops.convert_to_tensor(4), offset=8, batch_size=16)
        layer(device)
        assert not reads
        float(device[0, 0, 0, 0])
    assert len(reads) > 1
