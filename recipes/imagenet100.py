"""Pretraining on 100 classes of ImageNet with 2, 4 or 8 views of 128 or 224 pixels.

    python recipes/imagenet100.py --views=4 --data_dir=imagenet
    python recipes/imagenet100.py --views=4 --data_dir=imagenet \
        --image_size=256 --view_size=224 --batch_size=128

`data_dir` holds folders `train` and `val` with a sub-folder for each class, such as
`train/n01440764`; other classes than the 100, and a `test` without labels, are left
out. Or `data_dir` is a folder of TFDS data that holds `imagenet2012`, or the two
archives from which TFDS makes it (TFDS says where they go); each epoch then reads all
1,000 classes to find the 100, so folders are faster. The classes are those of CMC (Tian
et al., 2020), as in the paper. Probes are tested on the validation images.

The CPU decodes an image once for all of its views, and KerasCV layers make the views
there. The recipe is meant for one GPU with many CPU cores, and is not yet run there:
time and accuracy are not known.

The batch of 256 images (250 with 8 views) and the projector of 512 features are the
authors', who train for 100 epochs with Adam at a constant 1e-3; here the learning rate
warms up and decays. Their ResNet-18 keeps all 128 pixels up to its first block; the
ImageNet stem used here takes a sixteenth of that work. The authors probe the central
half of images of 256 pixels; here probes see the whole image.
"""

from keras_mvssl.training import Recipe
from keras_mvssl.training import main
from keras_mvssl.views import Augmentation

RECIPE = Recipe(
    dataset="imagenet100",
    augmentation=Augmentation.preset("imagenet100"),
    image_size=160,
    augment="kerascv",
    backbone="resnet18",
    stem="imagenet",
    projector_dim=512,
    epochs=100,
    batch_size=256,
    learning_rate=1e-3,
    probe_every=5,
)

# β by features of the projector, from the authors' launch scripts (for 4096, the middle
# of two values). For 512 features they launch 0.004 on half of the images with 4 views,
# and 0.01 on a quarter with 8 views. The values are tuned for pairing="mean" with
# normalised rows; here rows are not normalised, as in `cifar10.py`.
VIEWS = {
    2: dict(
        batch_size=256,
        beta={
            128: 0.07,
            256: 0.02,
            512: 0.02,
            1024: 0.005,
            2048: 0.007,
            4096: 0.004,
            8192: 0.001,
        },
    ),
    4: dict(batch_size=256, beta={512: 0.01}),
    8: dict(batch_size=250, beta={512: 0.01}),
}

if __name__ == "__main__":
    main(RECIPE, VIEWS)
