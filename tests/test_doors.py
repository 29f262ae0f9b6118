"""The same bad images, and the same good ones, through every way into the package."""

import keras
import numpy as np
import pytest

import helpers
import keras_mvssl as mv
from keras_mvssl import _backend

SIZE = 8
BATCH = 8
COUNT = 3 * BATCH
LABELS = np.arange(COUNT) % 2
AUGMENTATION = mv.views.Augmentation(size=SIZE)


def good_images():
    return np.random.default_rng(0).uniform(0, 255, (COUNT, SIZE, SIZE, 3))


def changed(value):
    """Images with one other value, in the last batch."""
    images = good_images().astype("float32")
    images[-2, 3, 3, 1] = value
    return images


def dark(part):
    """Images of which some are nearly black, as empty slices of a scan are."""
    images = good_images().astype("float32")
    images[part] = np.where(images[part] > 250, 1, images[part] / 2550)
    return images


BAD = {
    "NaN": changed(np.nan),
    "infinite": changed(np.inf),
    "negative": changed(-1),
    "above 255": changed(256),
    "NaN in float16": changed(np.nan).astype("float16"),
    "above 255, int32": changed(256).astype("int32"),
    "divided by 255": (good_images() / 255).astype("float32"),
    "standardised": ((good_images() - 128) / 64).astype("float32"),
    "complex": good_images().astype("complex64"),
    "of truth values": good_images() > 128,
}
GOOD = {
    "uint8": good_images().astype("uint8"),
    "int32, mirrored": good_images().astype("int32")[:, :, ::-1],
    "big-endian, columns first": np.asfortranarray(good_images().astype(">f4")),
    "first batch dark": dark(slice(0, BATCH)),
    "last batch dark": dark(slice(2 * BATCH, None)),
}


class Batches(keras.utils.PyDataset):
    def __init__(self, images):
        super().__init__()
        self.images = images

    def __len__(self):
        return COUNT // BATCH

    def __getitem__(self, index):
        return (self.images[index * BATCH : (index + 1) * BATCH],)


def generator(images):
    batches = Batches(images)
    return (batches[i % 3] for i in range(100))


def dataset(images):
    tf = _backend.tensorflow_for_data()
    return tf.data.Dataset.from_tensor_slices(images)


def labelled_dataset(images):
    tf = _backend.tensorflow_for_data()
    return tf.data.Dataset.from_tensor_slices((images, LABELS))


def loader(images):
    torch = pytest.importorskip("torch")
    pixels = torch.as_tensor(np.ascontiguousarray(mv_native(images)))
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(pixels), BATCH)


def mv_native(images):
    """Images in the byte order that tensors of other libraries need."""
    return images.astype(images.dtype.newbyteorder("="))


def streamed(make):
    return lambda images: make(mv_native(images))


@pytest.fixture(scope="module")
def doors(tmp_path_factory):
    """Every door: a function that lets images in, `{name: function}`."""
    encoder = helpers.small_encoder((SIZE, SIZE, 3))
    views = mv.views.RandomViews(AUGMENTATION, views=2)
    model = mv.MultiViewModel(encoder, mv.models.Projector(16, 4), views)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    of_views = mv.MultiViewModel(encoder, mv.models.Projector(16, 4))
    of_views.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    kerascv = mv.views.KerasCVViews(AUGMENTATION, views=2)
    uint8 = GOOD["uint8"]

    def fit(x, model=model, **kwargs):
        model.fit(x, batch_size=BATCH, verbose=0, **kwargs)

    def plain(images, step, offset, batch_size):
        tf = _backend.tensorflow_for_data()
        return tf.stack([images, images], axis=1)

    path = tmp_path_factory.mktemp("npz") / "data.npz"

    def save_and_load(images):
        np.savez(path, x_train=images)
        mv.data.load(f"npz:{path}")

    extract = mv.evaluation.extract_features
    callbacks = mv.callbacks
    return {
        "fit of an array": fit,
        "fit of a tf.data.Dataset": streamed(lambda x: fit(dataset(x).batch(BATCH))),
        "fit of a PyDataset": lambda x: fit(Batches(x)),
        "fit of a DataLoader": lambda x: fit(loader(x)),
        "fit of a generator": lambda x: fit(generator(x), steps_per_epoch=3),
        "fit of batches of an array": lambda x: fit(mv.data.batches(x, BATCH)),
        "fit of batches of a data set": streamed(
            lambda x: fit(mv.data.batches(dataset(x), BATCH))
        ),
        "fit of multiview of an array": lambda x: fit(
            mv.data.multiview(x, kerascv, BATCH), of_views
        ),
        "fit of multiview of a data set": streamed(
            lambda x: fit(mv.data.multiview(dataset(x), kerascv, BATCH), of_views)
        ),
        "fit of own views": streamed(
            lambda x: fit(mv.data.multiview(dataset(x), plain, BATCH), of_views)
        ),
        "fit of an array of views": lambda x: fit(np.stack([x, x], 1), of_views),
        "validation of an array": lambda x: fit(uint8, validation_data=(x, LABELS)),
        "validation of a generator": lambda x: fit(
            uint8, validation_data=generator(x), validation_steps=3
        ),
        "validation of a PyDataset": lambda x: fit(uint8, validation_data=Batches(x)),
        "train_on_batch": model.train_on_batch,
        "test_on_batch": model.test_on_batch,
        "predict_on_batch": model.predict_on_batch,
        "evaluate of an array": lambda x: model.evaluate(x, verbose=0),
        "evaluate of a PyDataset": lambda x: model.evaluate(Batches(x), verbose=0),
        "predict of an array": lambda x: model.predict(x, verbose=0),
        "predict of a generator": lambda x: model.predict(
            generator(x), steps=3, verbose=0
        ),
        "a call of the model": model,
        "a call of RandomViews": lambda x: views(x, step=0),
        "a call of KerasCVViews": streamed(lambda x: kerascv(x, step=0)),
        "features of arrays": lambda x: extract(encoder, (x, LABELS)),
        "features of a data set": streamed(
            lambda x: extract(encoder, labelled_dataset(x), BATCH)
        ),
        "LinearProbe": lambda x: callbacks.LinearProbe((x, LABELS), (uint8, LABELS)),
        "KNNProbe": lambda x: callbacks.KNNProbe((uint8, LABELS), (x, LABELS), k=2),
        "Spectrum": callbacks.Spectrum,
        "ViewGallery": callbacks.ViewGallery,
        "an npz file": save_and_load,
    }


@pytest.mark.parametrize("name", BAD)
def test_no_door_lets_bad_images_in(name, doors):
    let_in = []
    for door, enter in doors.items():
        try:
            enter(BAD[name])
            let_in.append(door)
        except Exception as error:
            if not isinstance(error, ValueError) or "Received:" not in str(error):
                let_in.append(f"{door}: {type(error).__name__}: {error}"[:300])
    assert not let_in, "\n".join(let_in)


@pytest.mark.slow
@pytest.mark.parametrize("name", GOOD)
def test_every_door_lets_good_images_in(name, doors):
    refused = []
    for door, enter in doors.items():
        try:
            enter(GOOD[name])
        except Exception as error:
            refused.append(f"{door}: {type(error).__name__}: {error}"[:300])
    assert not refused, "\n".join(refused)
