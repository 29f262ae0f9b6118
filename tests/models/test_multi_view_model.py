import importlib.util
import json

import keras
import numpy as np
import pytest
from keras import ops

import helpers
import keras_mvssl as mv
from keras_mvssl.models.multi_view_model import EVALUATION_STEP
from programs.one_step import one_step


def some_views(batch=8, views=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (batch, views, 12, 12, 3), dtype="uint8")


def test_projections_keep_images_and_views_in_place(model):
    views = some_views()
    projections = model.predict(views, verbose=0)
    assert projections.shape == (8, 3, 8)
    for image, view in ((0, 0), (1, 2), (7, 1)):
        alone = model.projector(model.encoder(views[image, view][None]))
        np.testing.assert_allclose(
            projections[image, view], ops.convert_to_numpy(alone)[0], atol=1e-4
        )


def test_fit_reports_the_loss_and_its_terms_per_feature(model):
    views = some_views()
    logs = model.evaluate(views, batch_size=8, verbose=0, return_dict=True)
    loss = model.loss
    terms = loss.per_feature(loss.terms(model.predict(views, verbose=0)), 8)
    assert set(logs) == {"loss", "invariance", "redundancy"}
    for name, term in terms.items():
        assert logs[name] == pytest.approx(float(term), rel=1e-4)
    expected = 8 * logs["invariance"] + 4 / 8 * 56 * logs["redundancy"]
    assert logs["loss"] == pytest.approx(expected, rel=1e-4)
    history = model.fit(views, batch_size=4, epochs=2, verbose=0).history
    assert set(history) == set(logs) and len(history["loss"]) == 2


def test_training_learns(model):
    views = some_views(16)
    model.compile(optimizer=keras.optimizers.Adam(0.01))
    losses = model.fit(views, batch_size=16, epochs=15, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]


def test_training_uses_and_gathers_the_statistics_of_the_batch(model):
    views = some_views()
    in_training = ops.convert_to_numpy(model(views, training=True))
    assert np.abs(in_training - model.predict(views, verbose=0)).max() > 0.1
    norm = next(x for x in model.encoder.layers if hasattr(x, "moving_mean"))
    before = ops.convert_to_numpy(norm.moving_mean).copy()
    model.fit(views, batch_size=8, verbose=0)
    assert (ops.convert_to_numpy(norm.moving_mean) != before).all()


def test_targets_are_ignored(model):
    views = some_views()
    model.fit(views, np.arange(8), batch_size=8, verbose=0)


def test_compiles_by_default_and_again_with_a_loss_of_ones_own(model):
    views = some_views()
    assert isinstance(model.loss, mv.losses.BarlowTwins)
    model.fit(views, batch_size=8, verbose=0)

    def spread(y_true, y_pred):
        return ops.reshape(ops.mean(ops.square(y_pred)), (1,))

    model.compile(optimizer="sgd", loss=spread)
    assert set(model.fit(views, batch_size=8, verbose=0).history) == {"loss"}
    model.compile(loss=mv.losses.BarlowTwins(pairing="all"))
    history = model.fit(views, batch_size=8, verbose=0).history
    assert set(history) == {"loss", "invariance", "redundancy"}


@pytest.mark.parametrize(
    "arguments",
    [
        dict(loss="mse"),
        dict(loss=keras.losses.MeanSquaredError()),
        dict(loss=keras.losses.mean_squared_error),
        dict(metrics=["mse"]),
    ],
    ids=["name", "loss", "function", "metrics"],
)
def test_refuses_losses_and_metrics_that_need_targets(model, arguments):
    with pytest.raises(ValueError, match="targets.*Received: (loss|metrics)="):
        model.compile(**arguments)


def test_terms_weigh_batches_as_the_loss_does(model):
    logs = model.evaluate(some_views(10), batch_size=8, verbose=0, return_dict=True)
    weighted = 8 * logs["invariance"] + 4 / 8 * 56 * logs["redundancy"]
    assert logs["loss"] == pytest.approx(weighted, rel=1e-5)


def test_save_in_the_middle_of_training_and_go_on(model, tmp_path):
    views = some_views()
    model.compile(
        optimizer=keras.optimizers.Adam(0.01), loss=mv.losses.BarlowTwins(0.2)
    )
    fit = dict(batch_size=8, epochs=3, shuffle=False, verbose=0)
    model.fit(views, **fit)
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    assert copy.loss.get_config() == model.loss.get_config()
    assert int(copy.optimizer.iterations) == 3
    model.fit(views, **fit)
    copy.fit(views, **fit)
    for got, expected in zip(helpers.weights_of(copy), helpers.weights_of(model)):
        np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy, tmp_path):
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(policy)
    try:
        encoder = mv.models.TinyResNet((12, 12, 3), width=8)
        model = mv.MultiViewModel(encoder, mv.models.Projector(64, dim=8))
        model.compile(optimizer="adam")
        fit = dict(batch_size=8, epochs=2, shuffle=False, verbose=0)
        history = model.fit(some_views(), **fit).history
    finally:
        keras.mixed_precision.set_dtype_policy(before)
    assert np.isfinite(history["loss"]).all()
    # What was saved goes on as it was, whatever the policy of the process.
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    assert type(copy.optimizer) is type(model.optimizer)
    expected = model.fit(some_views(), **fit).history["loss"]
    assert copy.fit(some_views(), **fit).history["loss"] == pytest.approx(
        expected, rel=1e-2
    )


def test_one_step_agrees_with_another_backend():
    this = keras.backend.backend()
    other = "jax" if this == "tensorflow" else "tensorflow"
    if importlib.util.find_spec(other) is None:
        pytest.skip(f"{other} is not installed.")
    script = helpers.ROOT / "tests/programs/one_step.py"
    result = helpers.run_script(script, backend=other)
    assert result.returncode == 0, result.stderr
    expected, got = json.loads(result.stdout), one_step()
    for name, value in expected["logs"].items():
        assert got["logs"][name] == pytest.approx(value, rel=1e-4)
    change = np.array(expected["change"])
    assert np.abs(change).max() > 1e-3
    np.testing.assert_allclose(got["change"], change, atol=1e-4 * np.abs(change).max())


def test_refuses_what_does_not_fit_before_training(model, images):
    with pytest.raises(ValueError, match=r"B, V, h, w, C.*\(4, 12, 12, 3\)"):
        model.fit(images, batch_size=4, verbose=0)
    with pytest.raises(ValueError, match="batch of one.*batch_size=8"):
        model.fit(some_views(9), batch_size=8, verbose=0)
    with pytest.raises(ValueError, match="batch of one.*batch_size=32"):
        model.fit(some_views(33), verbose=0)
    with pytest.raises(ValueError, match=r"within \[0, 255\].*minimum=-"):
        model.fit(some_views() - 128.0, batch_size=4, verbose=0)
    with pytest.raises(ValueError, match="Multiply them by 255"):
        model.fit(some_views() / 255.0, batch_size=4, verbose=0)
    with pytest.raises(ValueError, match="Multiply them by 255"):
        model.predict(some_views() / 255.0, verbose=0)
    with pytest.raises(ValueError, match="no list.*Received: x of type list"):
        model.fit([some_views()], verbose=0)
    with pytest.raises(ValueError, match="sample_weight"):
        model.fit(some_views(), batch_size=4, sample_weight=np.ones(8), verbose=0)
    with pytest.raises(ValueError, match="sample_weight. is not supported"):
        model.train_on_batch(some_views(), sample_weight=np.ones(8))
    with pytest.raises(ValueError, match="batch_size=1"):
        model.fit(some_views(8), batch_size=1, verbose=0)
    with pytest.raises(ValueError, match="batch of one.*`validation_data`"):
        model.fit(
            some_views(), batch_size=4, validation_data=(some_views(9),), verbose=0
        )
    with pytest.raises(ValueError, match="batch of one.*validation_split=0.5"):
        model.fit(some_views(10), batch_size=4, validation_split=0.5, verbose=0)
    with pytest.raises(ValueError, match="Multiply them by 255"):
        model.evaluate(some_views() / 255.0, verbose=0)
    assert model.optimizer.iterations == 0
    with pytest.raises(ValueError, match="at least 2 views on axis 1"):
        model.fit(some_views(8, views=1), batch_size=4, verbose=0)


def test_parts_that_do_not_fit():
    encoder = mv.models.TinyResNet((12, 12, 3), width=8)
    with pytest.raises(ValueError, match="`projector` must take the 64 features"):
        mv.MultiViewModel(encoder, mv.models.Projector(16))

    class Subclassed(keras.Model):
        def call(self, x):
            return ops.mean(x, axis=(1, 2))

    subclassed = Subclassed()
    subclassed(np.zeros((1, 12, 12, 3)))
    with pytest.raises(ValueError, match="knows its shapes.*Wrap another model"):
        mv.MultiViewModel(subclassed, mv.models.Projector(3))
    inputs = keras.Input((12, 12, 3))
    wrapped = keras.Model(inputs, subclassed(inputs))
    mv.MultiViewModel(wrapped, mv.models.Projector(3))
    with pytest.raises(ValueError, match="`encoder` must be a built keras.Model"):
        mv.MultiViewModel(keras.Sequential([keras.layers.Dense(3)]), None)
    unpooled = keras.Model(
        encoder.input, encoder.get_layer("stage4_block1_relu").output
    )
    images = keras.Input((8, 8, 3))
    flat = keras.layers.Flatten()(images)
    for encoder in (unpooled, keras.Model(images, [flat, flat])):
        with pytest.raises(ValueError, match="pooled"):
            mv.MultiViewModel(encoder, mv.models.Projector(64))


# A model that makes its own views


@pytest.fixture
def of_images(model):
    """The same model, with views of its own."""
    views = mv.views.RandomViews(mv.views.Augmentation(size=12), 3)
    model = mv.MultiViewModel(model.encoder, model.projector, views)
    model.compile(optimizer=keras.optimizers.SGD(0.01))
    return model


def test_trains_on_images_as_on_their_views(of_images, model, images):
    model.set_weights(of_images.get_weights()[:-1])  # all but the step
    of_images.fit(images, batch_size=8, shuffle=False, epochs=2, verbose=0)
    for step in (0, 1):
        views = ops.convert_to_numpy(of_images.views(images, step=step))
        model.fit(np.array(views), batch_size=8, shuffle=False, verbose=0)
    assert int(of_images.views.step) == 2
    for got, expected in zip(
        helpers.weights_of(of_images), helpers.weights_of(model), strict=False
    ):
        np.testing.assert_allclose(got, expected, atol=1e-4)


def test_outside_training_one_clean_view_or_always_the_same(of_images, images):
    assert of_images.predict(images, verbose=0).shape == (8, 1, 8)
    clean = of_images.projector(of_images.encoder(images))
    np.testing.assert_allclose(
        of_images.predict(images, verbose=0)[:, 0],
        ops.convert_to_numpy(clean),
        atol=1e-4,
    )
    one, other = (of_images.evaluate(images, batch_size=8, verbose=0) for _ in range(2))
    np.testing.assert_allclose(one, other, rtol=1e-5)
    assert one[0] > 0 and int(of_images.views.step) == 0
    of_evaluation = of_images.views(images, step=EVALUATION_STEP)
    for step in (0, 1, 2):
        of_training = of_images.views(images, step=step)
        assert float(ops.max(ops.absolute(of_training - of_evaluation))) > 1
    # Random views, not one clean view V times: they differ.
    assert one[1] > 1e-3
    history = of_images.fit(
        images, batch_size=8, validation_data=images, verbose=0
    ).history
    assert set(history) >= {"loss", "val_loss"}


def test_own_views_go_on_after_saving(of_images, images, tmp_path):
    of_images.fit(images, batch_size=4, verbose=0)
    of_images.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert int(loaded.views.step) == 2 and loaded.views.views == 3
    for model in (of_images, loaded):
        model.fit(images, batch_size=8, shuffle=False, verbose=0)
    for one, other in zip(
        helpers.weights_of(of_images), helpers.weights_of(loaded), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_own_views_must_fit(model, images):
    def build(views):
        return mv.MultiViewModel(model.encoder, model.projector, views)

    with pytest.raises(ValueError, match="must take views of size .16, 16"):
        build(mv.views.RandomViews(mv.views.Augmentation(size=16), 2))
    with pytest.raises(ValueError, match="`views` must be a RandomViews.*Received"):
        build(mv.views.Augmentation(size=12))
    with pytest.raises(ValueError, match="Views must have shape.*RandomViews"):
        model.fit(images, verbose=0)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_float_images_reach_the_views_as_they_are(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        encoder = mv.models.TinyResNet((12, 12, 3), width=8)
        views = mv.views.RandomViews(mv.views.Augmentation(size=12), 2)
        model = mv.MultiViewModel(encoder, mv.models.Projector(64, 8), views)
    finally:
        keras.config.set_dtype_policy(before)
    model.compile("sgd")
    images = np.random.default_rng(0).uniform(0, 255, (8, 12, 12, 3)).astype("float32")
    kinds = []
    augment = views._augment
    views._augment = lambda x, draws: (kinds.append(str(x.dtype)), augment(x, draws))[1]
    check = views._check
    views._check = lambda x: (kinds.append(str(x.dtype)), check(x))
    # The first call of `fit` builds the model, on torch with images of ones.
    model.fit(images, batch_size=4, verbose=0)
    model.evaluate(images, batch_size=4, verbose=0)
    assert model.predict(images, verbose=0).shape == (8, 1, 8)
    assert kinds and all("float32" in kind for kind in kinds)
