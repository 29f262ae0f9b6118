"""Pretrains on CIFAR-10 with 2, 4 or 8 views.

    python recipes/cifar10.py --views=4 --data_dir=~/tensorflow_datasets

TFDS downloads the data set on first use. On two CPU cores, a smaller job:

    python recipes/cifar10.py --views=4 --fraction=0.2 --backbone=tiny --epochs=5

β and the batch are those of the authors' launch scripts for a projector of 256
(2 views: 0.02, 4 and 8 views: 0.01), which were tuned with `pairing="mean"` and
normalised rows. Rows are not normalised here: standardising the features makes the
loss blind to their scale anyway, and the paper does not mention it. The authors train
a ResNet-50 for 100 epochs with Adam at a constant 1e-3; here a ResNet-18, and the rate
warms up and decays, which short runs need.
"""

from keras_mvssl.training import Recipe
from keras_mvssl.training import main
from keras_mvssl.views import Augmentation

RECIPE = Recipe(
    dataset="cifar10",
    augmentation=Augmentation.preset("cifar10"),
    by_views={2: {"beta": 0.02}, 4: {"beta": 0.01}, 8: {"beta": 0.01}},
    backbone="resnet18",
    projector_dim=256,
    epochs=100,
    batch_size=128,
    probe_every=5,
)

if __name__ == "__main__":
    main(RECIPE)
