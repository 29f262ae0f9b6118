"""
Title: Trust: files, folders and jobs of others
Author: The keras_mvssl authors
Date created: 2026/11/30
Last modified: 2026/11/30
Description: What is safe to open from strangers, what is not, and what a run tells about you.
"""

"""
Images from the web, an encoder from a colleague, a run folder from a repository: this page says
what happens when you open them with this package, and what others learn when you hand out yours.
Nothing is sent anywhere. The package uses the network only for data sets that TFDS downloads and
for the processes of a job.

## What is safe to open

| From a stranger | What protects you | What remains |
|---|---|---|
| Images in a folder | Pillow's decoders of the suffixes that are offered, and no others: no file can start another program, whatever its name says. Pipes and devices are not opened. An image of more than `max_pixels` (67 million) is refused, or decoded smaller if it is a JPEG and `image_size` is given (not a progressive one). | Faults of the decoders themselves: keep Pillow up to date. Links are followed, so that a folder with links reads other images of yours. |
| `npz:PATH` | No pickles. The sizes of all arrays are read first, and a file that would take more memory than the machine has is refused. | |
| `encoder.keras`, `model.keras` | Keras' safe mode, which is on unless you switch it off: it refuses lambdas. | Faults of Keras: keep it up to date, and load strangers' files in a container. A file can name any layer of Keras, and be as large as it likes. |
| The folder of a run, to read its report | JSON, CSV, PNG and npz are read, each with checks of its content. All text is escaped, and a picture that is no whole PNG is left out. | The numbers are what the sender says they are. Links are followed, so that a `config.json` that is a link shows another JSON file of yours in the page. |
| The folder of a run, to go on in it | The above, with checksums and plain names for each file of a checkpoint. Files are written under new names that follow no links; links among the files of a run are refused. | The weights, and with them all results, are the sender's. |

What is not safe, here as elsewhere: `keras.saving.load_model(path, safe_mode=False)`,
`keras.config.enable_unsafe_deserialization()`, pickles, and other people's scripts, recipes and
notebooks.

An encoder is a plain Keras file, and its features can be computed without this package:
"""

import keras
import numpy as np

import keras_mvssl as mv

mine = mv.models.TinyResNet((32, 32, 3))
mine.save("encoder.keras")  # what you hand out

theirs = keras.saving.load_model("encoder.keras", compile=False, safe_mode=True)
features = theirs.predict(np.zeros((2, 32, 32, 3), "uint8"), verbose=0)

"""
## What your files tell

| File of a run | What it holds of you and your data |
|---|---|
| `config.json`, `results.json`, `report.html` | the command with its flags, and so the paths of data and folders; names of classes; the processor, the device and versions of packages; the Git commit of the package if it runs from its own repository (of no other repository) |
| `views.png`, `report.html` | some images in random views; in the report also the nearest neighbours of some test images |
| `diagnostics.npz`, `tensorboard/` | small copies of test images with their labels and features; the names of TensorBoard's files hold the name of the machine |
| `bad_images.txt` | paths of files that could not be read |
| `metrics.csv` | losses and accuracies |
| `checkpoint/`, `encoder.keras` | weights. Networks that have learnt from few images may reveal some of them. |

To hand out an encoder alone, send `encoder.keras`. To hand out a report of images that are not
public, look at it first: it is one file with all its pictures.

## Who can connect to a job

On one machine, a job of several processes listens on the loopback only, with PyTorch and JAX; with
TensorFlow's `TF_CONFIG` it listens on all addresses. Between several machines, each framework opens
ports without passwords: use them in a trusted network only. The table is in
[distributed training](distributed_training.md).

## In shared folders

The cache of compiled steps lies in your own cache folder, which others may neither write to nor
own; otherwise it is not used, with a warning. A run locks its folder for other runs, not for other
people: whoever may write to a run folder can change its results.
"""
