import io
import time
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_mvssl as mv
from keras_mvssl.callbacks import KNNProbe
from keras_mvssl.callbacks import LinearProbe
from keras_mvssl.callbacks import Spectrum
from keras_mvssl.callbacks import TensorBoard
from keras_mvssl.callbacks import Throughput
from keras_mvssl.callbacks import ViewGallery
from keras_mvssl.callbacks import view_gallery
from keras_mvssl.evaluation import extract_features


def views():
    return np.random.default_rng(0).integers(0, 256, (8, 2, 12, 12, 3), dtype="uint8")


@pytest.mark.filterwarnings("ignore:Can save best model only")  # not in each epoch
def test_probe_enters_the_logs(model, labelled, tmp_path):
    best = keras.callbacks.ModelCheckpoint(
        tmp_path / "best.keras",
        monitor="probe_accuracy",
        save_best_only=True,
        mode="max",
    )
    probe = LinearProbe(labelled, labelled, every=2, batch_size=16)
    history = model.fit(
        views(), batch_size=4, epochs=3, callbacks=[probe, best], verbose=0
    ).history
    # After the second epoch and after the last.
    assert len(history["probe_accuracy"]) == 2
    assert min(history["probe_accuracy"]) > 0.9
    assert (tmp_path / "best.keras").exists()


def test_probe_runs_when_training_stops_early(model, labelled):
    stop = keras.callbacks.EarlyStopping("loss", min_delta=1e9, patience=1)
    probe = LinearProbe(labelled, labelled, every=5)
    history = model.fit(
        views(), batch_size=4, epochs=9, callbacks=[stop, probe], verbose=0
    ).history
    assert len(history["loss"]) < 5 and len(history["probe_accuracy"]) == 1


def test_probe_refuses_images_that_do_not_fit_the_encoder(model, labelled):
    images, labels = labelled
    larger = np.repeat(images, 2, axis=1), labels[:, None]
    with pytest.raises(ValueError, match="`test` do not fit the encoder"):
        model.fit(views(), callbacks=[LinearProbe(labelled, larger)], verbose=0)
    assert model.optimizer.iterations == 0


@pytest.mark.parametrize("on_device", [False, True], ids=["views", "RandomViews"])
def test_probes_leave_training_as_it_is(labelled, model, on_device):
    layer = mv.views.RandomViews(mv.views.Augmentation(size=12), 2)

    def train(watch):
        keras.utils.set_random_seed(1)
        encoder = keras.models.clone_model(model.encoder)
        encoder = keras.Sequential(
            [keras.Input((12, 12, 3)), encoder, keras.layers.Dropout(0.3)]
        )
        made = mv.views.RandomViews.from_config(layer.get_config())
        copy = mv.MultiViewModel(
            encoder, mv.models.Projector(16, dim=8), made if on_device else None
        )
        copy.compile(optimizer="adam")
        x = labelled[0] if on_device else views()
        callbacks = []
        if watch:
            callbacks = [
                LinearProbe(labelled, labelled),
                LinearProbe(labelled, labelled, protocol="ridge", views=layer),
                KNNProbe(labelled, labelled),
                Spectrum(labelled[0], None if on_device else views()),
                ViewGallery(x),
            ]
        copy.fit(x, batch_size=4, epochs=2, callbacks=callbacks, verbose=0)
        # Weights, statistics of batch normalisation, seeds, the step of the views, the
        # optimizer's moments; and what the next random numbers are.
        state = [*copy.variables, *copy.optimizer.variables]
        numbers = [np.random.uniform(size=3), keras.random.uniform((3,))]
        return [keras.ops.convert_to_numpy(x) for x in state + numbers]

    for got, expected in zip(train(True), train(False), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_probes_share_features_of_the_same_data(model, labelled):
    layer = mv.views.RandomViews(mv.views.Augmentation(size=12), 2)
    probes = [
        KNNProbe(tuple(labelled), (labelled[0].copy(), labelled[1]), k=5),
        LinearProbe(labelled, labelled, protocol="ridge"),
        KNNProbe(labelled, labelled, k=5),
        LinearProbe(labelled, labelled, views=layer, fraction=0.5),
    ]
    with mock.patch(
        "keras_mvssl.callbacks.probe.extract_features", wraps=extract_features
    ) as extract:
        history = model.fit(
            views(), batch_size=4, epochs=2, callbacks=probes, verbose=0
        ).history
    # In each epoch clean ones, those of a copy, and those averaged over views.
    assert extract.call_count == 2 * 3
    names = "probe_accuracy", "knn_accuracy", "probe_accuracy_2_views_50%_labels"
    for name in names:
        assert len(history[name]) == 2 and min(history[name]) > 0.9


@pytest.mark.parametrize("ready", [True, False], ids=["views", "RandomViews"])
def test_spectrum_enters_the_logs(model, ready):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 12, 12, 3), dtype="uint8")
    x = views()
    if not ready:
        layer = mv.views.RandomViews(mv.views.Augmentation(size=12), 2)
        model = mv.MultiViewModel(model.encoder, model.projector, layer)
        model.compile("sgd")
        x = images
    spectrum = Spectrum(images, views() if ready else None, batch_size=32)
    history = model.fit(
        x, batch_size=4, epochs=1, callbacks=[spectrum], verbose=0
    ).history
    features, _ = extract_features(model.encoder, (images, np.zeros(60, int)))
    (rank,) = history["rankme"]
    assert rank == pytest.approx(mv.evaluation.rankme(features), rel=1e-3)
    assert history["alpha"] == [spectrum.latest.power_law.alpha]
    if ready:
        # What the loss standardises, in inference mode.
        z = model.predict(views(), verbose=0)
        z = z.reshape(-1, z.shape[-1])
        z = (z - z.mean(axis=0)) / np.sqrt(z.var(axis=0) + 1e-5)
        expected = mv.evaluation.effective_rank(z)
        assert history["projection_effective_rank"][0] == pytest.approx(
            expected, rel=1e-2
        )


def test_collapse_is_told_once(model):
    images = np.random.default_rng(0).integers(0, 256, (40, 12, 12, 3), dtype="uint8")
    last = model.projector.layers[-1]
    kernel, *rest = last.get_weights()
    last.set_weights([np.repeat(kernel[:, :1], kernel.shape[1], axis=1), *rest])
    model.compile(keras.optimizers.SGD(0.0))
    with pytest.warns(UserWarning, match="8 projections use 1.0 directions") as told:
        model.fit(
            views(),
            batch_size=4,
            epochs=4,
            callbacks=[Spectrum(images, views())],
            verbose=0,
        )
    assert len([x for x in told if "directions" in str(x.message)]) == 1


def test_gallery_shows_the_views_of_training(model, tmp_path):
    gallery = ViewGallery(views(), tmp_path / "deep/views.png", images=3)
    model.fit(views(), batch_size=4, callbacks=[gallery], verbose=0)
    assert gallery.picture.shape == (3 * 14 - 2, 2 * 14 - 2, 3)
    np.testing.assert_array_equal(gallery.picture[:12, 14:26], views()[0, 1])
    from PIL import Image

    written = np.asarray(Image.open(tmp_path / "deep/views.png"))
    np.testing.assert_array_equal(written, gallery.picture)


def test_gallery_of_views_made_on_the_device(model):
    layer = mv.views.RandomViews(mv.views.Augmentation(size=12), 2)
    images = views()[:, 0]
    model = mv.MultiViewModel(model.encoder, model.projector, layer)
    model.compile("sgd")
    stream = mv.data.batches(images, 4)
    gallery = ViewGallery(stream, images=2)
    model.fit(stream, epochs=1, callbacks=[gallery], verbose=0)
    first = np.asarray(stream[0][0])
    made = np.asarray(layer(first, step=0))
    np.testing.assert_array_equal(gallery.picture[:12, :12], first[0])
    np.testing.assert_allclose(gallery.picture[:12, 14:26], made[0, 0], atol=0.51)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda x: Spectrum(x[0]), r"images.shape=\(12, 12, 3\)"),
        (lambda x: Spectrum(x / 255.0), "Multiply them by 255"),
        (lambda x: Spectrum(x, x), r"\(B, V, h, w, C\)"),
        (lambda x: Spectrum(x, every=0), "every=0"),
        (lambda x: ViewGallery(x, images=0), "images=0"),
        (lambda x: KNNProbe((x, [0, 1] * 4), (x, [0, 1] * 4), k=0), "k=0"),
    ],
)
def test_callbacks_refuse(images, make, message):
    with pytest.raises(ValueError, match=message):
        make(images)


def test_probe_refuses_bad_data_at_once(labelled):
    images, labels = labelled
    with pytest.raises(ValueError, match="`train` must be labelled"):
        LinearProbe(images, labelled)
    with pytest.raises(ValueError, match="whole numbers.*numpy.unique"):
        LinearProbe(labelled, (images, np.array(["cat"] * len(images))))
    with pytest.raises(ValueError, match="one label for each input"):
        LinearProbe(labelled, (images, labels[1:]))
    with pytest.raises(ValueError, match="Multiply them by 255"):
        LinearProbe((images / 255, labels), labelled)
    with pytest.raises(ValueError, match="every=0"):
        LinearProbe(labelled, labelled, every=0)
    with pytest.raises(ValueError, match="two classes"):
        LinearProbe((images, labels * 0), labelled)
    with pytest.raises(ValueError, match=r"\(N, H, W, C\)"):
        LinearProbe((images[..., 0], labels), labelled)
    batched = tf.data.Dataset.from_tensor_slices(labelled).batch(8)
    with pytest.raises(ValueError, match="not batched"):
        LinearProbe(batched, labelled)


def test_tensorboard_holds_pictures_and_an_embedding(model, labelled, tmp_path):
    from PIL import Image
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    gallery = ViewGallery(views())
    spectrum = Spectrum(labelled[0], every=2)
    board = TensorBoard(tmp_path, gallery, spectrum, labelled, ("a dark\tone", "light"))
    callbacks = [gallery, spectrum, board]
    model.fit(views(), batch_size=4, epochs=2, callbacks=callbacks, verbose=0)
    events = EventAccumulator(str(tmp_path)).Reload()
    assert set(events.Tags()["images"]) == {"views", "spectrum"}
    (picture,) = events.Images("views")
    shown = np.asarray(Image.open(io.BytesIO(picture.encoded_image_string)))
    np.testing.assert_array_equal(shown, gallery.picture)
    assert [event.step for event in events.Images("spectrum")] == [4]

    features, labels = extract_features(model.encoder, labelled)
    written = np.loadtxt(tmp_path / "embedding.tsv", delimiter="\t")
    np.testing.assert_allclose(written, features, rtol=1e-3, atol=1e-4)
    names = (tmp_path / "labels.tsv").read_text().splitlines()
    assert names == [("a dark one", "light")[label] for label in labels]
    sprite = np.asarray(Image.open(tmp_path / "sprite.png"))
    assert sprite.shape == (7 * 12, 7 * 12, 3)  # 40 images, 7 in a row
    np.testing.assert_array_equal(sprite[12:24, 24:36], labelled[0][9])


def test_tensorboard_holds_the_logs(model, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    history = model.fit(
        views(), batch_size=4, epochs=2, callbacks=[TensorBoard(tmp_path)], verbose=0
    ).history
    events = EventAccumulator(str(tmp_path)).Reload()
    assert set(events.Tags()["scalars"]) == {"loss", "invariance", "redundancy"}
    loss = events.Scalars("loss")
    assert [event.step for event in loss] == [2, 4]
    np.testing.assert_allclose(
        [event.value for event in loss], history["loss"], rtol=1e-5
    )


@pytest.mark.parametrize("late", [False, True])
def test_throughput_counts_and_sees_a_stream_that_is_late(model, images, late):
    def make(chunk, step, offset, batch_size):
        def wait(x):
            time.sleep(0.2 if late else 0)
            return x

        chunk = tf.ensure_shape(tf.numpy_function(wait, [chunk], "uint8"), chunk.shape)
        return tf.stack([chunk, chunk], axis=1)

    stream = mv.data.multiview(images, make, batch_size=4, workers=1)
    throughput = Throughput(4 * 2, stream)
    history = model.fit(
        stream, epochs=3, steps_per_epoch=4, callbacks=[throughput], verbose=0
    ).history
    assert history["views_seen"] == [32, 64, 96] and throughput.views_seen == 96
    np.testing.assert_allclose(history["learning_rate"], 0.01, rtol=1e-6)
    spent = [32 / rate for rate in history["views_per_second"]]
    np.testing.assert_allclose(np.cumsum(spent), history["seconds"], rtol=0.01)
    # The last epoch, in which nothing is compiled.
    waited = history["data_wait"][-1] * spent[-1]
    assert waited > 0.55 if late else waited < 0.5
    assert all(0 <= share <= 1 for share in history["data_wait"])
    history = model.fit(views(), callbacks=[Throughput(8)], verbose=0).history
    assert "data_wait" not in history


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda x, y: LinearProbe((x, y), (x, y), views=4), "`views` must be"),
        (lambda x, y: LinearProbe((x, y), (x, y), every=0), "every=0"),
        (lambda x, y: KNNProbe((x, y), (x, y), k=41), "k=41"),
        (lambda x, y: ViewGallery(iter([x])), "`x` must be a stream"),
        (lambda x, y: TensorBoard("logs", embedding=(x, y[1:])), "`embedding`"),
    ],
)
def test_refused_when_made(labelled, make, message):
    with pytest.raises(ValueError, match=message) as error:
        make(*labelled)
    assert "Received: " in str(error.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda x, y: Spectrum(x[:, :8]),
        lambda x, y: TensorBoard("logs", embedding=(x[:, :8], y)),
        lambda x, y: ViewGallery(x),
    ],
)
def test_refused_before_training(model, labelled, make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="Received: "):
        model.fit(views(), callbacks=[make(*labelled)], verbose=0)
    assert model.optimizer.iterations == 0


def test_gallery_of_a_stream_shows_the_views_of_the_first_step(model, images):
    layer = mv.views.RandomViews(mv.views.Augmentation(size=12), 2)
    model = mv.MultiViewModel(model.encoder, model.projector, layer)
    model.compile("sgd")
    stream = mv.data.batches(images, batch_size=8)
    gallery = ViewGallery(stream, images=3)
    model.fit(stream, epochs=1, callbacks=[gallery], verbose=0)
    (batch,) = stream[0]
    seen = np.asarray(keras.ops.convert_to_numpy(layer(batch, step=0)))[:3]
    picture = view_gallery.grid(seen)
    # Beside the clean images.
    np.testing.assert_array_equal(gallery.picture[:, -picture.shape[1] :], picture)


def test_training_goes_on_where_logs_cannot_be_written(tmp_path, monkeypatch):
    metrics = mv.callbacks.MetricsCSV(tmp_path / "metrics.csv")

    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full)
        with pytest.warns(match="metrics.csv could not be written; the run goes on"):
            metrics.on_epoch_end(0, {"loss": 2.0})
    metrics.on_epoch_end(1, {"loss": 1.0, "alpha": 0.5})
    expected = "epoch,loss,alpha\n1,2.0,\n2,1.0,0.5\n"
    assert (tmp_path / "metrics.csv").read_text() == expected


def test_tensorboard_goes_on_when_there_is_space_again(model, tmp_path, monkeypatch):
    from tensorboard.backend.event_processing import event_accumulator
    from tensorboard.summary.writer import event_file_writer

    class Full(Exception):
        """As TensorFlow's errors, no OSError."""

    def full(self):
        raise Full("No space left on device")

    board = mv.callbacks.TensorBoard(tmp_path)
    board.set_model(model)
    board.on_train_begin()
    with monkeypatch.context() as patch:
        patch.setattr(event_file_writer.EventFileWriter, "flush", full)
        with pytest.warns(match="could not be written; the run goes on. No space"):
            board.on_epoch_end(0, {"loss": 2.0})
    model.optimizer.iterations.assign(7)
    board.on_epoch_end(1, {"loss": 1.0})
    board.on_train_end()
    found = event_accumulator.EventAccumulator(str(tmp_path))
    found.Reload()
    assert found.Scalars("loss")[-1].step == 7


def test_a_picture_that_cannot_be_written_is_a_warning(model, tmp_path, monkeypatch):
    gallery = mv.callbacks.ViewGallery(views(), tmp_path / "views.png")
    gallery.set_model(model)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.warns(match="views.png could not be written; the run goes on"):
        gallery.on_train_begin()
    assert gallery.picture is not None


def test_rows_go_on_without_those_that_are_trained_again(tmp_path):
    metrics = mv.callbacks.MetricsCSV(tmp_path / "metrics.csv")
    metrics.on_epoch_end(0, {"loss": 2.0})
    state = list(metrics.get_state())
    metrics.on_epoch_end(1, {"loss": 1.0})
    other = mv.callbacks.MetricsCSV(tmp_path / "metrics.csv")
    other.set_state(state)
    assert (tmp_path / "metrics.csv").read_text() == "epoch,loss\n1,2.0\n"


def test_throughput_leaves_out_checkpoints_and_goes_on(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    class Model:
        optimizer = keras.optimizers.SGD(0.1)

    def begin(throughput):
        throughput.set_params({"steps": 4})
        throughput.set_model(Model())
        throughput.on_epoch_begin(0)

    def step(throughput, batch, seconds):
        throughput.on_train_batch_begin(batch)
        clock[0] += seconds
        throughput.on_train_batch_end(batch)

    first = mv.callbacks.Throughput(8)
    begin(first)
    step(first, 0, 1.0)
    clock[0] += 5.0  # a checkpoint
    first.leave_out(5.0)
    step(first, 1, 1.0)
    second = mv.callbacks.Throughput(8)
    second.set_state(first.get_state())
    clock[0] += 1000.0  # between two starts
    begin(second)
    for batch in (2, 3):
        step(second, batch, 1.0)
    logs = {}
    second.on_epoch_end(0, logs)
    assert (logs["views_seen"], logs["seconds"]) == (32, 4.0)
    assert logs["views_per_second"] == 8.0


def test_tensorboard_forgets_steps_that_are_trained_again(model, tmp_path):
    from tensorboard.backend.event_processing import event_accumulator

    board = mv.callbacks.TensorBoard(tmp_path)
    model.fit(views(), epochs=3, batch_size=4, verbose=0, callbacks=[board])
    model.optimizer.iterations.assign(2)  # that of a checkpoint after one epoch
    board = mv.callbacks.TensorBoard(tmp_path)
    model.fit(
        views(), epochs=3, initial_epoch=1, batch_size=4, verbose=0, callbacks=[board]
    )
    found = event_accumulator.EventAccumulator(str(tmp_path))
    found.Reload()
    assert [event.step for event in found.Scalars("loss")] == [2, 4, 6]
