"""Steps of a user's own in `RandomViews`."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

import keras_mvssl as mv
from keras_mvssl.views import Augmentation
from keras_mvssl.views import RandomViews

PLAIN = Augmentation(
    size=12, crop_area=(1, 1), crop_aspect=(1, 1), flip=0, jitter=0, grayscale=0
)


register = keras.saving.register_keras_serializable("tests")


@register
def brighten(views, draws):
    return views + 100.0 * ops.reshape(draws("brighten"), (-1, 1, 1, 1))


@register
class Halve(keras.layers.Layer):
    """Halves views in training, in another precision."""

    def call(self, views, training=False):
        return ops.cast(views / (2.0 if training else 1.0), "float16")


@register
def crop(views):
    return views[:, 1:]


@register
def half_of_the_views(views):
    return views[: views.shape[0] // 2]


@register
def two_of_each(views):
    return ops.repeat(views, 2, axis=0)


@register
def nothing(views):
    return None


@register
def mean_of_both(views):
    return ops.mean(views, axis=0, keepdims=True)[0]


def as_numpy(x):
    return ops.convert_to_numpy(x)


def test_steps_follow_one_another(images):
    layer = RandomViews(PLAIN, 3, extra=[Halve(), brighten])
    assert (
        as_numpy(RandomViews(PLAIN, 2, extra=[Halve()])(images, 0)).dtype == "float32"
    )
    views = as_numpy(layer(images, step=4))
    added = as_numpy(views - images[:, None] / 2.0)
    added, spread = added.mean((2, 3, 4)), np.ptp(added, (2, 3, 4))
    assert spread.max() < 0.1
    assert len(np.unique(added.round(3))) == 24  # each view its own
    assert 0 <= added.min() < 20 and 80 < added.max() <= 100
    other_order = as_numpy(RandomViews(PLAIN, 3, extra=[brighten, Halve()])(images, 4))
    clipped = np.minimum(images[:, None] + added[..., None, None, None], 255)
    np.testing.assert_allclose(
        other_order[clipped < 255], clipped[clipped < 255] / 2, atol=0.1
    )


def test_numbers_of_steps_depend_on_their_place_alone(images):
    layer = RandomViews(PLAIN, 3, seed=5, extra=[brighten])
    whole = as_numpy(layer(images // 2, step=7))
    more = RandomViews(PLAIN, 4, seed=5, extra=[Halve(), brighten])
    more_views = as_numpy(more(images[5:], step=7, offset=5))
    one, other = (
        whole[5:] - images[5:, None] // 2,
        more_views[:, :3] - images[5:, None] / 2,
    )
    np.testing.assert_allclose(one, other, atol=0.1)
    assert np.abs(as_numpy(layer(images // 2, step=8)) - whole).mean() > 10


def test_names_of_steps_have_other_numbers(images):
    layer = RandomViews(PLAIN, 2)
    found = {}

    @register
    def look(views, draws):
        found.update({name: as_numpy(draws(name)) for name in ("a", "b", "area")})
        return views

    RandomViews(PLAIN, 2, extra=[look])(images, step=0)
    area = as_numpy(layer._draws(0, 8, 0)("area")).reshape(-1)
    assert len({x.tobytes() for x in [*found.values(), area]}) == 4


def test_built_in_views_and_clean_views_stay(images):
    augmentation = Augmentation(size=10)
    plain, extra = (
        RandomViews(augmentation, 2, extra=extra) for extra in ([], [Halve()])
    )
    one, other = (as_numpy(layer(images, step=1)) for layer in (plain, extra))
    np.testing.assert_allclose(other, one / 2, atol=0.1)
    np.testing.assert_array_equal(as_numpy(extra(images)), as_numpy(plain(images)))


def test_views_stay_within_the_range(images):
    views = as_numpy(RandomViews(PLAIN, 2, extra=[brighten])(images, step=0))
    assert views.min() >= 0 and views.max() == 255


def test_steps_are_saved(images, model, tmp_path):
    layer = RandomViews(PLAIN, 2, seed=1, extra=[Halve(), brighten])
    model = mv.MultiViewModel(model.encoder, model.projector, layer)
    model.compile("sgd")
    model.fit(images, batch_size=8, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert int(loaded.views.step) == 1
    one, other = (as_numpy(m.views(images, step=3)) for m in (model, loaded))
    np.testing.assert_array_equal(one, other)


@register
def relu(views):
    return views * 0 + 7


def test_a_function_with_the_name_of_another_is_refused():
    keras.saving.get_custom_objects()["tests>relu"] = brighten
    with pytest.raises(ValueError, match="another function has the name 'relu'"):
        RandomViews(PLAIN, 2, extra=[relu])
    keras.saving.get_custom_objects()["tests>relu"] = relu


@register
class Around(keras.layers.Layer):
    """Has a layer that does something in training alone."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = keras.layers.Dropout(0.5, seed=0)

    def call(self, views):
        return self.inner(views)


@pytest.mark.filterwarnings("ignore:.*random state of its own")
def test_views_of_a_step_are_those_of_training(images):
    layer = RandomViews(PLAIN, 2, extra=[Around()])
    for arguments in (dict(step=0), dict(training=True)):
        views = as_numpy(layer(images, **arguments))
        assert 0.4 < (views == 0).mean() < 0.6


@pytest.mark.filterwarnings("ignore:.*random state of its own")
def test_features_averaged_over_views_are_the_same_each_time(images, model):
    layer = RandomViews(PLAIN, 2, extra=[keras.layers.RandomErasing(1.0, seed=3)])
    data = images, np.zeros(8, "int32")
    one, other = (
        mv.evaluation.extract_features(model.encoder, data, views=layer)[0]
        for _ in range(2)
    )
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "make", [keras.layers.BatchNormalization, lambda: keras.layers.Conv2D(3, 1)]
)
def test_layers_with_weights_are_refused(images, make):
    layer = RandomViews(PLAIN, 2, extra=[make()])
    with pytest.raises(ValueError, match="no weights.*Received.*(gamma|kernel)"):
        layer(images, step=0)


def test_random_state_of_layers_is_told_and_used(images, model):
    with pytest.warns(UserWarning, match="'random_erasing.*state of its own") as told:
        erasing = keras.layers.RandomErasing(1.0, fill_value=0.0, seed=3)
        layer = RandomViews(PLAIN, 2, extra=[erasing])
    assert told[0].filename == __file__
    model = mv.MultiViewModel(model.encoder, model.projector, layer)
    model.compile(keras.optimizers.SGD(0.0))
    state = layer.extra[0].generator.state
    before = as_numpy(ops.convert_to_tensor(state))
    model.fit(images, batch_size=4, verbose=0)
    assert (as_numpy(ops.convert_to_tensor(state)) != before).any()
    erased = (as_numpy(layer(np.full_like(images, 200), step=0)) < 1).mean((2, 3, 4))
    assert erased.mean() > 0.01 and len(np.unique(erased)) > 4


@pytest.mark.parametrize(
    "extra, message",
    [
        (brighten, "must be a list"),
        ([3], "must be a list"),
        (["flip"], "must be a list"),
        ([functools.partial(brighten)], "that Keras can save"),
        ([np.flip], "that Keras can save"),
        ([lambda views: views], "below `@keras.saving.register"),
    ],
)
def test_bad_steps(extra, message):
    with pytest.raises(ValueError, match=f"(?s){message}.*Received"):
        RandomViews(PLAIN, 2, extra=extra)


@pytest.mark.parametrize(
    "step", [crop, mean_of_both, half_of_the_views, two_of_each, nothing]
)
def test_steps_that_change_the_shape(images, step):
    layer = RandomViews(PLAIN, 2, extra=[step])
    with pytest.raises(
        ValueError, match=f"shape that it was given.*Received.*{step.__name__}"
    ):
        layer(images, step=0)
