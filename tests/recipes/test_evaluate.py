import json

import numpy as np

import helpers
from keras_mvssl.evaluation import extract_features


def test_every_probe_of_a_saved_encoder(model, labelled, tmp_path):
    images, labels = labelled
    model.encoder.save(tmp_path / "encoder.keras")
    np.savez(
        tmp_path / "data.npz",
        x_train=images,
        y_train=labels,
        x_test=images,
        y_test=labels,
    )
    result = helpers.run_script(
        helpers.ROOT / "recipes/evaluate.py",
        tmp_path / "encoder.keras",
        f"--dataset=npz:{tmp_path / 'data.npz'}",
        "--paper_16",
        f"--out={tmp_path / 'out.json'}",
        f"--export_features={tmp_path / 'features.npz'}",
    )
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "out.json").read_text())
    for name in ("logistic", "ridge", "paper", "paper, mean of 16 views"):
        assert found[name] > 0.9 and name in result.stdout
    assert found["20 neighbours"] > 0.9 and "200 neighbours" not in found
    features, _ = extract_features(model.encoder, labelled)
    with np.load(tmp_path / "features.npz") as exported:
        np.testing.assert_allclose(exported["x_train"], features, atol=1e-4)
        np.testing.assert_array_equal(exported["y_test"], labels)


def test_features_without_labels(model, labelled, tmp_path):
    images, _ = labelled
    model.encoder.save(tmp_path / "encoder.keras")
    np.savez(tmp_path / "data.npz", x_train=images)
    result = helpers.run_script(
        helpers.ROOT / "recipes/evaluate.py",
        tmp_path / "encoder.keras",
        f"--dataset=npz:{tmp_path / 'data.npz'}",
        f"--export_features={tmp_path / 'features.npz'}",
    )
    assert result.returncode == 0, result.stderr
    assert "no labels, which probes need" in result.stdout
    features, _ = extract_features(model.encoder, labelled)
    with np.load(tmp_path / "features.npz") as exported:
        np.testing.assert_allclose(exported["x_pretrain"], features, atol=1e-4)
