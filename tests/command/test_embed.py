"""The subcommands `evaluate` and `embed`, on saved encoders."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

import helpers
from keras_mvssl import command
from keras_mvssl.evaluation import extract_features


@pytest.fixture
def encoder(model, tmp_path):
    """Path of a saved encoder."""
    model.encoder.save(tmp_path / "encoder.keras")
    return str(tmp_path / "encoder.keras")


@pytest.fixture
def folder(labelled, tmp_path):
    """A folder of bright and dark images, with a file that is none."""
    for index, (image, label) in enumerate(zip(*labelled)):
        path = tmp_path / "mine" / ("dark", "light")[label] / f"{index:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    (tmp_path / "mine/dark/00.png").write_bytes(b"no image")
    return tmp_path / "mine"


def test_features_of_a_folder_with_the_names_of_its_files(
    encoder, folder, model, labelled, tmp_path
):
    arguments = ["embed", encoder, str(folder), "--out", str(tmp_path / "x.npz")]
    assert command.main(arguments) == 1  # It stops at the file that is no image.
    assert not (tmp_path / "x.npz").exists()
    assert command.main([*arguments, "--on_bad_image=skip", "--batch_size=8"]) == 0
    features, labels = extract_features(model.encoder, labelled)
    with np.load(tmp_path / "x.npz") as found:
        assert found["class_names"].tolist() == ["dark", "light"]
        assert len(found["names"]) == len(labels) - 1
        for name, row, label in zip(
            *(found[x] for x in ("names", "features", "labels"))
        ):
            index = int(name.split("/")[1][:2])
            assert name.split("/")[0] == ("dark", "light")[label]
            np.testing.assert_allclose(row, features[index], atol=1e-4)
    (tmp_path / "config.json").write_text(json.dumps({"image_size": 8}))
    arguments = [*arguments[:-1], str(tmp_path / "x.csv"), "--labels=none"]
    assert command.main([*arguments, "--on_bad_image=skip"]) == 0
    heading, *rows = csv.reader((tmp_path / "x.csv").read_text().splitlines())
    assert heading == ["name", *(f"f{i}" for i in range(16))] and len(rows) == 39
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)


@pytest.mark.parametrize(
    "names, parts", [(("train", "test"), 2), (("test", "cats"), 1), (("train", "b"), 1)]
)
def test_no_folder_is_left_out(names, parts, encoder, labelled, tmp_path):
    for name in names:
        path = tmp_path / "images" / name / "x/0.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(labelled[0][0]).save(path)
    arguments = ["embed", encoder, str(tmp_path / "images"), f"--out={tmp_path}/x.npz"]
    assert command.main(arguments) == 0
    with np.load(tmp_path / "x.npz") as found:
        files = [f"{name}/x/0.png" for name in names]
        assert sorted(found["names"]) == sorted(files)
        assert len(found["class_names"]) == (1 if parts == 2 else 2)


def test_features_of_an_npz_file(encoder, model, labelled, tmp_path):
    images, labels = labelled
    path = str(tmp_path / "data.npz")
    np.savez(path, x_train=images, y_train=labels, x_test=images[:4], y_test=labels[:4])
    out = tmp_path / "x.csv"
    assert command.main(["embed", encoder, path, f"--out={out}"]) == 0
    heading, *rows = csv.reader(out.read_text().splitlines())
    assert heading[:3] == ["name", "label", "f0"] and len(rows) == 44
    assert rows[1][:2] == ["train/1", "1"] and rows[-1][:2] == ["test/3", "1"]
    features, _ = extract_features(model.encoder, labelled)
    found = np.array([row[2:] for row in rows[:40]], "float32")
    np.testing.assert_allclose(found, features, atol=1e-4)


@pytest.mark.parametrize(
    "flag", ["--out={}", "--augmentation=x", "--seed=-1", "--export_features=a/b.npz"]
)
def test_evaluate_checks_flags_first(flag, encoder, tmp_path, capsys):
    arguments = ["evaluate", encoder, "no_such_data", flag.format(tmp_path)]
    assert command.main(arguments) == 2
    errors = capsys.readouterr().err
    assert "Received: " in errors and errors.count("\n") == 1


def test_evaluate_skips_bad_images(encoder, folder, tmp_path):
    arguments = ["evaluate", encoder, str(folder), f"--out={tmp_path / 'x.json'}"]
    assert command.main(arguments) == 1
    assert command.main([*arguments, "--on_bad_image=skip"]) == 0
    found = json.loads((tmp_path / "x.json").read_text())
    assert found["logistic"] > 0.9 and found["dataset"] == f"folder:{folder}"
    assert command.main([*arguments, "--on_bad_image=skip", "--labels=none"]) == 0
    assert "logistic" not in json.loads((tmp_path / "x.json").read_text())


def test_usage_errors_of_the_script_are_one_line():
    script = helpers.ROOT / "recipes/evaluate.py"
    for arguments, message in [
        (["x.keras"], "--dataset"),
        (["x.keras", "--dataset=shapes", "--labels=all"], "--labels=all"),
        (["x.keras", "--dataset=shapes"], "Received: ENCODER=x.keras"),
        (["--dataset=shapes"], "Name one saved encoder"),
    ]:
        result = helpers.run_script(script, *arguments)
        assert result.returncode == 2 and message in result.stderr
        assert result.stderr.count("\n") == 1
