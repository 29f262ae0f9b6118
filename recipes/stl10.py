"""Pretrains on STL-10 with 2, 4 or 8 views: 96 px, views of 64 px.

    python recipes/stl10.py --views=4 --data_dir=~/tensorflow_datasets

TFDS downloads the data set (2.6 GB) on first use. Pretrains on the 100,000 unlabelled
images and the 5,000 of `train`, held in memory (3.3 GB), and probes the whole images
with `train` and `test`; the ten predefined folds of 1,000 labels are not used. Meant
for one GPU; time and accuracy are not yet run.

Batches and rate are the authors', who train a ResNet-50 (here: ResNet-18) for 100
epochs on the unlabelled images alone; Adam's rate is constant there, and warms up and
decays here.
"""

from keras_mvssl.training import Recipe
from keras_mvssl.training import main
from keras_mvssl.views import Augmentation

RECIPE = Recipe(
    dataset="stl10",
    augmentation=Augmentation.preset("stl10"),
    augment="device",
    backbone="resnet18",
    projector_dim=256,
    epochs=100,
    batch_size=100,
    learning_rate=1e-3,
    probe_every=5,
)

# β by projector, of the authors' launch scripts. For 8 views they have values for a
# quarter of the images (0.006) and for views of two sizes (0.001 to 0.004) only: these
# are those of 4 views. On half of the images with 4 views they launch 0.002. Tuned for
# pairing="mean" with normalised rows; here they are not, as in `cifar10.py`.
VIEWS = {
    2: dict(
        beta={
            64: 0.04,
            128: 0.04,
            256: 0.008,
            512: 0.001,
            1024: 0.0008,
            2048: 0.002,
            4096: 0.0004,
            8192: 0.0004,
        }
    ),
    4: dict(beta={256: 0.001}),
    8: dict(beta={256: 0.001}),
}

if __name__ == "__main__":
    main(RECIPE, VIEWS)
