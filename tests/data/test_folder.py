"""Every file below a folder is read, refused, or told of."""

import io
import os
import pathlib
import sys

import numpy as np
import pytest
from PIL import Image

from keras_mvssl import data
from keras_mvssl.data import folder

_shown = iter(range(1, 10**6))


def save(*paths):
    """Write an image for each path, each of another color."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        number = next(_shown)
        color = (number % 250, number // 250, 7)
        Image.new("RGB", (8, 8), color).save(path)


@pytest.fixture
def root(tmp_path_factory):
    """Four images in each of two classes."""
    root = tmp_path_factory.mktemp("set") / "pets"
    save(*(root / name / f"{i}.png" for name in ("cat", "dog") for i in range(4)))
    return root


@pytest.fixture
def load(root, capsys):
    """Load `root` or another folder; returns `Splits` and what was printed."""

    def load(path=root, **arguments):
        capsys.readouterr()
        splits = data.load(f"folder:{path}", **arguments)
        return splits, capsys.readouterr().out

    return load


def labelled(splits):
    return len(splits.train[0]) + len(splits.test[0])


def test_files_that_are_no_images_are_told_of(root, load):
    for name in ("cat/notes.txt", "dog/a.csv", "README", ".DS_Store", "cat/._0.png"):
        (root / name).write_text("text")
    splits, out = load()
    assert labelled(splits) == 8 and splits.bad_images == []
    assert f"3 files with other suffixes (.csv, .txt, none; first {root}/README)" in out
    assert f"2 hidden files (first {root}/.DS_Store)" in out
    assert sum(line.startswith("Left out: ") for line in out.splitlines()) == 1


def test_nothing_is_told_where_all_is_read(load):
    _, out = load()
    assert all(word not in out for word in ("Left out", "Read in part", "Changed"))


@pytest.mark.parametrize("labels", [None, "folders", "none"])
def test_hidden_folders_are_not_read(root, load, labels):
    save(root / "cat/.ipynb_checkpoints/0.png", root / ".thumbnails/dog/0.png")
    splits, out = load(labels=labels)
    count = len(splits.pretrain) if labels == "none" else labelled(splits)
    assert count == 8 and "2 hidden folders (first " in out and ".thumbnails" in out


def test_hidden_folders_above_the_root_do_not_matter(tmp_path, load):
    save(*(tmp_path / ".cache/set" / f"{i}.png" for i in range(3)))
    assert len(load(tmp_path / ".cache/set")[0].pretrain) == 3


def test_links_to_folders_and_files_are_followed(root, load):
    elsewhere = root.parent / "elsewhere"
    save(*(elsewhere / x for x in ("a/0.png", "b.png", "c.png")))
    (elsewhere / "c.png").rename(elsewhere / "c")
    (root / "cat/more").symlink_to("../../elsewhere/a")
    (root / "dog/b.png").symlink_to("../../elsewhere/b.png")
    (root / "dog/c.png").symlink_to(elsewhere / "c")  # content decides
    splits, out = load()
    assert labelled(splits) == 11 and "Left out" not in out
    (root.parent / "link").symlink_to(root)
    assert labelled(load(root.parent / "link")[0]) == 11


@pytest.mark.parametrize("labels", [None, "none"])
def test_cycles_and_repeats_are_left_out(root, load, labels):
    (root / "cat/up").symlink_to("..")
    (root / "cat/out").symlink_to("/")
    (root / "cat/a.png").symlink_to("0.png")
    (root / "cat/here").symlink_to(".")
    splits, out = load(labels=labels)
    count = len(splits.pretrain) if labels == "none" else labelled(splits)
    assert count == 8
    assert "3 links to folders that are read already" in out
    assert "1 link to files that are read already" in out and "a.png" in out


@pytest.mark.parametrize("name", ["a", "z"])
def test_the_image_is_listed_rather_than_its_link(root, load, name):
    (root / name).mkdir()
    (root / name / "link").symlink_to("../cat")
    splits, out = load(labels="none")
    assert len(splits.pretrain) == 8 and f"first {root}/{name}/link" in out


def test_one_file_in_two_classes_is_refused(root, load):
    (root / "dog/cat.png").symlink_to("../cat/1.png")
    with pytest.raises(ValueError, match="two classes.*labels='none'.*cat/1.png"):
        load()
    assert len(load(labels="none")[0].pretrain) == 8


def test_one_file_in_two_parts(tmp_path, load):
    save(*(tmp_path / f"train/{x}/{i}.png" for x in "xy" for i in range(2)))
    save(tmp_path / "test/x/0.png", tmp_path / "unlabelled/0.png")
    (tmp_path / "unlabelled/1.png").symlink_to("../train/x/0.png")
    (tmp_path / "test/y").mkdir()
    link = tmp_path / "test/y/0.png"
    link.symlink_to("../../train/y/1.png")
    with pytest.raises(ValueError, match="test set.*Received: 1 files.*train/y/1.png"):
        load(tmp_path)
    link.unlink()
    save(link)
    # Pretraining without labels may use images of `train`.
    assert len(load(tmp_path)[0].pretrain) == 2
    splits, out = load(tmp_path, labels="none")
    assert len(splits.pretrain) == 5 and "1 link to files" in out
    (tmp_path / "unlabelled/2.png").symlink_to("../test/x/0.png")
    with pytest.raises(ValueError, match=r"test set.*unlabelled/2.png"):
        load(tmp_path)


def a_pipe(path):
    os.mkfifo(path)


def a_broken_link(path):
    path.symlink_to("nowhere.png")


def a_link_to_itself(path):
    path.symlink_to(path.name)


@pytest.mark.parametrize("make", [a_pipe, a_broken_link, a_link_to_itself])
def test_what_cannot_be_opened(root, load, make):
    make(root / "cat/x.png")
    with pytest.raises(ValueError, match=r"cannot be read.*cat/x.png"):
        load()
    splits, printed = load(on_bad_image="skip")
    assert labelled(splits) == 8 and "cat/x.png" in splits.bad_images[0]
    assert "Left out: 1 file or folder that cannot be read (first " in printed


def test_a_folder_that_may_not_be_read(root, load, monkeypatch):
    save(root / "cat/closed/0.png")
    scandir = os.scandir

    def refuse(path):  # Root may read all.
        if pathlib.Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ValueError, match="Permission denied.*cat/closed"):
        load()
    splits, _ = load(on_bad_image="skip")
    assert labelled(splits) == 8 and "cat/closed" in splits.bad_images[0]


def test_names_of_parts_in_any_case(tmp_path, load):
    for part, count in (("Train", 4), ("VAL", 2)):
        save(*(tmp_path / f"{part}/{x}/{i}.png" for x in "xy" for i in range(count)))
    save(*(tmp_path / f"Unlabeled/{i}.png" for i in range(5)), tmp_path / "loose.png")
    splits, out = load(tmp_path)
    assert splits.class_names == ("x", "y") and len(splits.pretrain) == 5
    assert len(splits.train[0]) == 8 and len(splits.test[0]) == 4
    assert f"1 image beside the folder `train` (first {tmp_path}/loose.png)" in out
    save(tmp_path / "train/x/0.png")
    with pytest.raises(ValueError, match="upper and lower.*'Train' and 'train'"):
        load(tmp_path)


@pytest.mark.parametrize("other", ["CAT", "Cat"])
def test_classes_that_differ_in_case_only(root, load, other):
    save(*(root / other / f"{i}.png" for i in range(4)))
    with pytest.raises(ValueError, match=f"upper and lower case.*'{other}' and 'cat'"):
        load()
    assert len(load(labels="none")[0].pretrain) == 12


def test_classes_that_look_the_same(root, load):
    for name in ("caf\u00e9", "cafe\u0301"):  # one letter, and a letter with an accent
        save(root / name / "0.png", root / name / "1.png")
    if len(list(root.iterdir())) < 4:
        pytest.skip("The file system takes both for one name.")
    with pytest.raises(ValueError, match="upper and lower case"):
        load()


def test_folders_that_are_no_classes(tmp_path, load):
    scans = tmp_path / "scans"
    save(scans / "p1/0.png", *(scans / f"p2/{x}/{i}.png" for x in "lr" for i in "01"))
    with pytest.raises(ValueError, match="at least 2 images.*labels='none'"):
        load(scans)
    with pytest.raises(ValueError, match="two sub-folders.*labels='none'"):
        load(scans / "..")
    save(scans / "loose.png")
    with pytest.raises(ValueError, match="Images lie beside.*labels='none'"):
        load(scans)
    splits, _ = load(scans, labels="none")
    assert len(splits.pretrain) == 6 and splits.train is None
    with pytest.raises(ValueError, match="labels='folders'.*no sub-folders"):
        load(scans / "p1", labels="folders")


def test_no_labels_with_parts(tmp_path, load):
    save(*(tmp_path / f"train/{x}/{i}.png" for x in "xy" for i in range(3)))
    save(*(tmp_path / f"test/{x}/0.png" for x in "xy"), tmp_path / "Unlabelled/z/0.png")
    splits, out = load(tmp_path, labels="none")
    assert len(splits.pretrain) == 7 and splits.test is None
    assert "test/ is not used: no labels" in out
    assert len(load(tmp_path, labels="folders")[0].test[0]) == 2
    (tmp_path / "train").rename(tmp_path.parent / "other")
    assert len(load(tmp_path, labels="none")[0].pretrain) == 1
    with pytest.raises(ValueError, match="sub-folder `train`.*labels='none'"):
        load(tmp_path)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(labels="no"), "'folders', 'none' or None. Received: labels='no'"),
        (dict(max_pixels=0), "`max_pixels` must be.*Received: max_pixels=0"),
        (dict(max_pixels=1e6), "`max_pixels` must be.*Received: max_pixels=1000000.0"),
    ],
)
def test_refuses_other_settings(load, arguments, message):
    with pytest.raises(ValueError, match=message):
        load(**arguments)


@pytest.mark.parametrize("name", ["shapes", "npz:x.npz", "imagenet100", "cifar10"])
def test_labels_are_for_folders_only(name):
    with pytest.raises(ValueError, match=f"applies to folders.*name='{name}'"):
        data.load(name, labels="none")


def test_the_output_may_lack_letters(tmp_path, monkeypatch):
    save(*(tmp_path / "снимки" / f"{i}.png" for i in range(3)))
    (tmp_path / "снимки/слова.txt").write_text("")
    written = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", written)
    splits = data.load(f"folder:{tmp_path}/снимки")
    written.flush()
    assert len(splits.pretrain) == 3
    assert b"1 file with other suffixes" in written.buffer.getvalue()


def test_a_stream_tells_what_it_changes_while_it_decodes(
    root, load, capsys, monkeypatch
):
    for i in range(2):
        Image.new("RGBA", (8, 8)).save(root / f"cat/clear{i}.png")
    pages = dict(save_all=True, append_images=[Image.new("RGB", (8, 8), "red")])
    Image.new("RGB", (8, 8)).save(root / "cat/two.gif", **pages)
    expected, out = load()
    assert "1 file of several pages" in out and "2 files with transparent" in out
    monkeypatch.setattr(folder, "fits_in_memory", lambda count, shape: False)
    splits, out = load()
    assert "1 file of several pages" in out and "transparent" not in out
    for part in (splits.train, splits.test, splits.train):
        list(part.as_numpy_iterator())
    assert capsys.readouterr().out.count("transparent parts, laid over white (fir") == 1
    read = [
        x for part in (splits.train, splits.test) for x, _ in part.as_numpy_iterator()
    ]
    assert sorted(map(np.sum, read)) == sorted(
        map(np.sum, [*expected.train[0], *expected.test[0]])
    )
