import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

import helpers
import stand_ins
from keras_mvssl import data
from keras_mvssl.data import imagenet100
from keras_mvssl.data import splits as splits_module
from keras_mvssl.data.splits import subset_indices

CIFAR10 = pathlib.Path(helpers.ROOT.parent, "shared/data/prepare_cifar10.py")


def write_images(root, count=5, size=(8, 8), suffix=".png", start=0):
    root.mkdir(parents=True, exist_ok=True)
    for index in range(start, start + count):
        color = (index * 20, 10, 200)
        Image.new("RGB", size[::-1], color).save(root / f"{index:02}{suffix}")


@pytest.fixture
def classes(tmp_path):
    """Ten images of each of two classes."""
    for name in ("cat", "dog"):
        write_images(tmp_path / name, 10)
    return tmp_path


def test_folder_of_classes_keeps_a_fifth_for_the_test(classes):
    splits = data.load(f"folder:{classes}")
    assert splits.class_names == ("cat", "dog") and splits.num_classes == 2
    assert splits.image_shape == (8, 8, 3)
    assert len(splits.pretrain) == 16 and len(splits.test[0]) == 4
    assert (np.bincount(splits.train[1]) == 8).all()
    assert (np.bincount(splits.test[1]) == 2).all()
    reds = np.concatenate([splits.train[0], splits.test[0]])[:, 0, 0, 0]
    assert sorted(reds) == sorted([i * 20 for i in range(10)] * 2)


def test_folder_with_parts(tmp_path):
    for part, count in (("train", 4), ("val", 2)):
        for name in ("cat", "dog"):
            write_images(tmp_path / part / name, count)
    write_images(tmp_path / "unlabelled", 9)
    splits = data.load(f"folder:{tmp_path}")
    assert [len(x) for x in (splits.pretrain, splits.train[0], splits.test[0])] == [
        9,
        8,
        4,
    ]


def test_folder_without_labels(tmp_path):
    write_images(tmp_path, 6, suffix=".jpg")
    splits = data.load(f"folder:{tmp_path}")
    assert splits.pretrain.shape == (6, 8, 8, 3)
    assert splits.train is None and splits.test is None


def test_folder_of_several_sizes_needs_one(classes):
    write_images(classes / "dog", 1, size=(20, 10), start=50)
    with pytest.raises(ValueError, match="differ in size.*image_size.*50.png is 20x10"):
        data.load(f"folder:{classes}")
    splits = data.load(f"folder:{classes}", image_size=6)
    assert splits.pretrain.shape[1:] == splits.image_shape == (6, 6, 3)


def test_folder_too_large_for_memory_streams(classes, monkeypatch):
    expected = data.load(f"folder:{classes}")
    monkeypatch.setattr(splits_module, "MEMORY_LIMIT_BYTES", 10)
    half = data.load(f"folder:{classes}", fraction=0.5).pretrain
    assert int(half.cardinality()) == len(list(half)) == 8
    splits = data.load(f"folder:{classes}")
    # Shuffled once: a shuffle buffer does not reach across classes.
    got = np.array(list(splits.pretrain.as_numpy_iterator()))[:, 0, 0, 0]
    reds = expected.pretrain[:, 0, 0, 0]
    assert sorted(got) == sorted(reds) and list(got) != list(reds)
    for part in ("train", "test"):
        pairs = getattr(splits, part).as_numpy_iterator()
        got = [(int(image[0, 0, 0]), label) for image, label in pairs]
        images, labels = getattr(expected, part)
        assert sorted(got) == sorted(zip(images[:, 0, 0, 0], labels))


def test_a_class_named_like_a_part_hides_no_others(classes):
    (classes / "cat").rename(classes / "train")
    with pytest.raises(ValueError, match=r"Received: \['dog'\]"):
        data.load(f"folder:{classes}")


def test_one_class_is_no_set_of_classes(tmp_path):
    write_images(tmp_path / "photos", 4)
    with pytest.raises(ValueError, match="name the sub-folder itself.*'photos'"):
        data.load(f"folder:{tmp_path}")


def test_unlabelled_parts_are_all_pretrained_on(tmp_path):
    for part, count in (("train", 4), ("unlabelled", 3), ("test", 2)):
        write_images(tmp_path / part, count)
    splits = data.load(f"folder:{tmp_path}")
    assert len(splits.pretrain) == 7 and splits.train is None


def test_unreadable_images_are_named(classes):
    (classes / "cat" / "zz.png").write_bytes(b"not an image")
    with pytest.raises(ValueError, match="cannot be read.*zz.png"):
        data.load(f"folder:{classes}")
    whole = (classes / "cat" / "00.png").read_bytes()
    (classes / "cat" / "zz.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="cannot be read.*zz.png"):
        data.load(f"folder:{classes}")
    deep = Image.fromarray(np.full((8, 8), 9999, "float32"))
    deep.save(classes / "cat" / "zz.png", format="TIFF")
    with pytest.raises(ValueError, match="more than 16 bits.*zz.png"):
        data.load(f"folder:{classes}")


def test_bad_folders(classes, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(ValueError, match=f"no images.*folder={empty}"):
        data.load(f"folder:{empty}")
    with pytest.raises(ValueError, match="no such folder.*nowhere"):
        data.load("folder:/nowhere")
    lonely = tmp_path_factory.mktemp("lonely")
    write_images(lonely / "cat", 3)
    write_images(lonely / "dog", 1)
    with pytest.raises(ValueError, match=r"at least 2 images.*\[3, 1\]"):
        data.load(f"folder:{lonely}")
    write_images(lonely / "unlabelled", 3)
    with pytest.raises(ValueError, match="must have a sub-folder `train`"):
        data.load(f"folder:{lonely}")
    (classes / "bird").mkdir()
    with pytest.raises(ValueError, match="no images.*bird"):
        data.load(f"folder:{classes}")
    write_images(classes, 1)
    with pytest.raises(ValueError, match="beside sub-folders"):
        data.load(f"folder:{classes}")


def test_npz(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {f"x_{s}": rng.integers(0, 256, (9, 8, 8, 3)) for s in ("train", "test")}
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(ValueError, match="no such file"):
        data.load("npz:/nowhere.npz")
    assert data.load(f"npz:{tmp_path / 'x.npz'}").train is None
    labels = {f"y_{s}": np.arange(9)[:, None] % 3 for s in ("train", "test")}
    np.savez(tmp_path / "xy.npz", **arrays, **labels)
    splits = data.load(f"npz:{tmp_path / 'xy.npz'}")
    assert splits.num_classes == 3 and splits.test[1].shape == (9,)
    half = dict(fraction=0.5)
    assert len(data.load(f"npz:{tmp_path / 'xy.npz'}", **half).pretrain) == 4
    # Rounded to 2 of the 3 images of each class.
    balanced = data.load(f"npz:{tmp_path / 'xy.npz'}", **half, balanced=True)
    assert len(balanced.pretrain) == 6
    with pytest.raises(ValueError, match="needs labels.*Received: balanced=True"):
        data.load(f"npz:{tmp_path / 'x.npz'}", **half, balanced=True)
    # All images are balanced as they are.
    assert len(data.load(f"npz:{tmp_path / 'x.npz'}", balanced=True).pretrain) == 9


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda a: a.pop("x_train"), "must hold an array x_train"),
        (lambda a: a.update(x_train=a["x_train"] / 255), "x_train.*Multiply them by"),
        (lambda a: a.update(x_test=a["x_test"][:, :4]), "x_test.shape=.9, 4, 8, 3"),
        (lambda a: a.update(x_train=a["x_train"][:0]), "x_train.shape=.0, "),
        (lambda a: a.pop("y_test"), "or else no labels"),
        (lambda a: a.update(y_train=a["y_train"][:5]), "one label for each"),
        (lambda a: a.update(y_train=np.eye(9)), "one label for each"),
        (lambda a: a.update(y_test=a["y_test"] + 0.5), "whole numbers"),
    ],
)
def test_bad_npz(tmp_path, change, message):
    images = np.full((9, 8, 8, 3), 200, "uint8")
    arrays = {"x_train": images, "x_test": images}
    arrays |= {f"y_{s}": np.arange(9) for s in ("train", "test")}
    change(arrays)
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        data.load(f"npz:{tmp_path / 'bad.npz'}")


def test_files_that_are_no_npz(tmp_path):
    (tmp_path / "bad.npz").write_bytes(b"PK garbage")
    np.save(tmp_path / "array.npy", np.ones(3))
    for name in ("bad.npz", "array.npy"):
        with pytest.raises(ValueError, match=f"cannot be read as .npz.*{name}"):
            data.load(f"npz:{tmp_path / name}")
    for name in ("npz:", "folder:", "folder"):
        with pytest.raises(ValueError, match="PATH"):
            data.load(name)


def test_fraction_is_seeded_and_balanced():
    labels = np.repeat([0, 1, 2], [100, 50, 10])
    kept = subset_indices(160, labels, 0.2, seed=0)
    assert (np.bincount(labels[kept]) == [20, 10, 2]).all()
    np.testing.assert_array_equal(kept, subset_indices(160, labels, 0.2, 0))
    assert set(kept) != set(subset_indices(160, labels, 0.2, 1))
    assert len(subset_indices(160, None, 0.25, 0)) == 40


def test_a_fraction_does_not_depend_on_labels(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), "uint8")
    found = []
    for labels in (None, np.arange(40) % 4, np.arange(40) // 39):
        arrays = {"x_train": images}
        if labels is not None:
            arrays |= {"y_train": labels, "x_test": images, "y_test": labels}
        np.savez(tmp_path / "a.npz", **arrays)
        found.append(data.load(f"npz:{tmp_path / 'a.npz'}", fraction=0.25).pretrain)
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


@pytest.mark.parametrize("fraction", [0, -0.5, 1.5, float("nan")])
def test_bad_fraction(fraction):
    with pytest.raises(ValueError, match=r"in \(0, 1\]. Received: fraction="):
        data.load("shapes", fraction=fraction)


def test_unknown_names_suggest_others():
    for name in ("cifar1", "CIFAR-10"):
        with pytest.raises(ValueError, match=f"Did you mean.*'cifar10'.*name='{name}'"):
            data.load(name)
    with pytest.raises(ValueError, match="shapes.*Received: name='shape'"):
        data.load("shape")


def write_tfds(name, counts, data_dir):
    """Writes a data set of that name as TFDS does; returns the class, to keep alive."""
    import tensorflow_datasets as tfds

    with tfds.core.registered.skip_registration():

        class Toy(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("1.0.0")

            def _info(self):
                features = {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "label": tfds.features.ClassLabel(names=["cat", "dog"]),
                }
                return tfds.core.DatasetInfo(
                    builder=self,
                    features=tfds.features.FeaturesDict(features),
                    supervised_keys=("image", "label"),
                )

            def _split_generators(self, downloads):
                return {s: self._generate_examples(n, s) for s, n in counts.items()}

            def _generate_examples(self, count, split):
                for i in range(count):
                    label = -1 if split == "unlabelled" else i % 2
                    image = np.full((10, 8, 3), i * 10, "uint8")
                    yield i, {"image": image, "label": label}

    offline = tfds.download.DownloadConfig(try_download_gcs=False)
    builder = type(name, (Toy,), {})
    builder(data_dir=data_dir).download_and_prepare(download_config=offline)
    return builder


def test_tfds_with_an_unlabelled_split(tmp_path):
    counts = {"train": 12, "test": 4, "unlabelled": 20}
    builder = write_tfds("ToyStl", counts, tmp_path)
    with pytest.raises(ValueError, match="differ in size.*image_size=None"):
        data.load(builder.name, data_dir=tmp_path)
    splits = data.load("toy_stl", data_dir=tmp_path, image_size=6)
    assert splits.pretrain.shape == (32, 6, 6, 3)
    values = [*range(0, 200, 10), *range(0, 120, 10)]
    assert sorted(splits.pretrain[:, 0, 0, 0]) == sorted(values)
    assert (np.bincount(splits.train[1]) == 6).all() and len(splits.test[0]) == 4
    assert splits.class_names == ("cat", "dog")
    half = data.load("toy_stl", data_dir=tmp_path, image_size=6, fraction=0.5)
    assert len(half.pretrain) == 16 and len(half.train[0]) == 12


def test_tfds_with_train_alone_keeps_a_fifth(tmp_path):
    builder = write_tfds("ToyFlowers", {"train": 20}, tmp_path)
    splits = data.load(builder.name, data_dir=tmp_path, image_size=6)
    assert splits.pretrain is splits.train[0]
    images = np.concatenate([splits.train[0], splits.test[0]])[:, 0, 0, 0]
    assert len(splits.test[0]) == 4
    assert sorted(images) == list(range(0, 200, 10))


def write_imagenet(tmp_path):
    """A tiny imagenet2012: two images of each of 102 classes, twice."""
    names = imagenet100.CLASSES
    others = ["n01440764", "n01443537"]
    labels = [*others, *names, *others, *names[::-1]]
    return stand_ins.write_tfds(
        "imagenet2012",
        {"train": labels, "validation": labels, "test": [-1, -1, -1]},
        tmp_path,
    )


def test_imagenet100_of_tfds(tmp_path, monkeypatch):
    write_imagenet(tmp_path)
    with pytest.raises(ValueError, match="differ in size.*image_size=None"):
        data.load("imagenet100", tmp_path)
    splits = data.load("imagenet100", tmp_path, image_size=8)
    assert splits.pretrain.shape == (200, 8, 8, 3) and splits.num_classes == 100
    for _, labels in (splits.train, splits.test):
        assert (np.bincount(labels) == 2).all()
    monkeypatch.setattr(splits_module, "MEMORY_LIMIT_BYTES", 10)
    streamed = data.load("imagenet100", tmp_path, fraction=0.5, image_size=8)
    assert int(streamed.pretrain.cardinality()) == len(list(streamed.pretrain)) == 100
    pairs = list(streamed.test.as_numpy_iterator())
    np.testing.assert_array_equal([label for _, label in pairs], splits.test[1])
    np.testing.assert_array_equal([image for image, _ in pairs], splits.test[0])


def test_imagenet100_of_folders(tmp_path, capsys):
    for part, count in (("train", 2), ("val", 1)):
        for name in (*imagenet100.CLASSES, "n00000000"):
            write_images(tmp_path / part / name, count)
    write_images(tmp_path / "test", 3)  # without labels, as it is handed out
    splits = data.load("imagenet100", tmp_path)
    assert len(splits.test[0]) == 100
    assert "test/ is not used: the test set is val/." in capsys.readouterr().out
    assert len(splits.pretrain) == 200 and splits.num_classes == 100
    shutil.rmtree(tmp_path / "train" / "n02090622")
    with pytest.raises(ValueError, match="1 of 100 classes.*Received: no n02090622"):
        data.load("imagenet100", tmp_path)


def test_files_to_bring_by_hand_are_named(tmp_path):
    with pytest.raises(ValueError) as error:
        data.load("imagenet100", tmp_path, image_size=8)
    said = str(error.value)
    assert said.startswith("`data_dir` has no folder `train`")
    assert str(tmp_path / "downloads" / "manual") in said
    assert "ILSVRC2012_img_train.tar" in said and "ILSVRC2012_img_val.tar" in said
    assert said.endswith(f"data_dir={str(tmp_path)!r}")


@pytest.mark.once
@pytest.mark.skipif(
    not CIFAR10.exists(), reason="needs the CIFAR-10 beside the project"
)
def test_real_cifar10(tmp_path):
    result = helpers.run_script(CIFAR10, tmp_path)
    assert result.returncode == 0, result.stderr
    splits = data.load("cifar10", data_dir=tmp_path, fraction=0.2)
    assert splits.pretrain.shape == (10_000, 32, 32, 3)
    assert splits.train[0].shape == (50_000, 32, 32, 3)
    assert (np.bincount(splits.test[1]) == 1000).all()
    # The names of the classes come with the original download only.
    assert splits.num_classes == 10


def test_npz_is_never_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (print, ("sprung",))

    images = np.array([Trap()] * 4, object)
    np.savez(tmp_path / "x.npz", x_train=images)
    with pytest.raises(ValueError, match="cannot be read as .npz.*allow_pickle=False"):
        data.load(f"npz:{tmp_path / 'x.npz'}")
