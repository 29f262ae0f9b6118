"""Pretrains a tiny ResNet on shapes: the whole pipeline in minutes, on a CPU.

    python recipes/shapes.py --views=4

Views are made by KerasCV layers. `--augment=device` is faster, and here a little worse:
81.0, 76.2 and 83.7 % became 78.6, 74.6 and 81.7 % with seeds 0, 1 and 2, probably for
the strong change of hue, which `RandomViews` does in another colour space.
"""

from keras_mvssl.training import Recipe
from keras_mvssl.training import main
from keras_mvssl.views import Augmentation

RECIPE = Recipe(
    dataset="shapes",
    augmentation=Augmentation.preset("shapes"),
    backbone="tiny",
    projector_dim=128,
    epochs=4,
    batch_size=128,
    learning_rate=2e-3,
)

if __name__ == "__main__":
    main(RECIPE)
