"""
Title: Long runs
Author: The keras_mvssl authors
Date created: 2026/11/25
Last modified: 2026/11/25
Description: Stop, kill and resume a run; checkpoints, precision, and what may go wrong.
"""

"""
A run can be stopped or killed at any moment, and goes on when the same command is started
again with its `--workdir`. It ends as if it had not been interrupted: with the same weights, to
the last bit, and, but for times, the same rows in `metrics.csv`.

```
python recipes/cifar10.py --workdir=runs/first    # killed, preempted, out of memory ...
python recipes/cifar10.py --workdir=runs/first    # goes on
```

`python tests/kill.py FOLDER --kills=20` shows it: it kills a run of `recipes/shapes.py` at random
moments, while it loads, trains, probes and saves, and compares the result with that of a run
that was left alone. (Bit for bit on a CPU, with the same versions of all packages. On GPUs some
operations of the backends do not compute the same twice, interrupted or not.)

## What is kept, and when

A checkpoint, `checkpoint/step-N/`, holds `model.keras` (weights, optimizer with its learning
rate's position and loss scale, batch normalisation, the step of `RandomViews`), the random state of other layers such as dropout, the means of the running epoch,
and what callbacks have seen. The order of the images and the views need no saving: they are
functions of the seed and the step.

One is made at the start, every `--checkpoint_minutes` (10), at the end of an epoch, at each new
best probe, and at the end; also every `--checkpoint_steps` if you want. Saving takes at most 2 %
of the time (the best and your own steps aside): where it would take more, it is done less often.
In a run of two minutes on two CPU cores, with one at the start, at the end and after each epoch,
it was 1.1 % (`recipes/benchmarks/checkpoints.py`, beside other work; 0.25 s each). The last two are kept, and the
best. Each is written under another name, synced to the disk, and renamed, and has a list of
checksums: what is there is whole.

`--resume=never` insists on a new folder; `--resume=must` insists on a run to continue.
`--devices`, `--workers`, `--data_dir`, `--on_bad_image` and the checkpoint flags may change from
one start to the next; other settings may not. On another number of devices results are equal to
rounding.

## Preemption, and Ctrl-C

SIGTERM and Ctrl-C let the step end, save it, print how to go on, and end with code 75. (After
the last step of an epoch its probes come first. Outside of training, while data are read for
instance, there is nothing to save, and it ends at once.) A second one ends the run at once. On
several devices of PyTorch, its launcher kills what has not ended after 30 seconds. In SLURM, not
yet run:

```
#SBATCH --signal=TERM@120
#SBATCH --requeue
srun python recipes/cifar10.py --workdir=runs/first
[ $? -eq 75 ] && scontrol requeue $SLURM_JOB_ID
```

## In your own script
"""

import pathlib

import keras

import keras_mvssl as mv

splits = mv.data.load("shapes")
encoder = mv.models.TinyResNet(splits.image_shape)
projector = mv.models.Projector(encoder.output_shape[-1], dim=128)
views = mv.views.RandomViews(mv.views.Augmentation.preset("shapes"), views=4)
model = mv.MultiViewModel(encoder, projector, views)
model.compile(optimizer="adam")


def make_stream(step):
    return mv.data.batches(splits.pretrain, batch_size=128, start_step=step)


metrics = mv.callbacks.MetricsCSV("runs/mine/metrics.csv")
checkpoint = mv.callbacks.Checkpoint("runs/mine/checkpoint", state={"metrics": metrics})
mv.training.fit(
    model,
    make_stream,
    epochs=2,
    steps_per_epoch=78,
    checkpoint=checkpoint,
    callbacks=[mv.callbacks.StopOnDivergence(), metrics],
)
encoder.save("runs/mine/encoder.keras")

"""
Started again, the script goes on after the last step that is saved: try Ctrl-C.

## The encoder of a run that has not ended

A recipe writes `encoder.keras` at its end. Until then the encoder is in the checkpoints, which
Keras loads where `keras_mvssl` is imported.
"""

newest = max(pathlib.Path("runs/mine/checkpoint").glob("step-*"))
stopped = keras.saving.load_model(newest / "model.keras", compile=False)
stopped.encoder.save("encoder.keras")

"""

## Precision

`--precision=bfloat16` or `float16` in a recipe, `keras.config.set_dtype_policy("mixed_bfloat16")`
in a script, before the model is built. Projections and all statistics of the loss stay float32.
With float16 Keras scales the loss, and steps whose gradients overflow are skipped; they are
counted in `skipped_steps`. Prefer bfloat16 where the device has it.

## What may go wrong, and what happens

Each line is a test, in `tests/` under the name on the right.

| What | Happens | Message | Test |
|---|---|---|---|
| Killed at any moment | the same command goes on | | `kill.py` |
| SIGTERM, Ctrl-C | saves the step, ends with code 75 | `Stopped by SIGTERM after step 120, which is saved. To go on, start the same again with --workdir=…` | `test_fitting.py`, `test_training.py` |
| Disk full while saving | goes on; the checkpoint before stays | `A checkpoint could not be saved; training goes on, and the one before stays. OSError: [Errno 28] No space left on device` | `test_fitting.py` |
| Disk full, `metrics.csv`, TensorBoard and pictures | goes on; rows come with the next epoch | `… could not be written; training goes on.` | `callbacks/test_callbacks.py` |
| Ended after training, with files missing | started again, it makes them | | `test_training.py` |
| Newest checkpoint damaged | falls back to the one before | `The checkpoint … is damaged (model.keras has changed): falling back to the one before.` | `test_checkpoints.py` |
| Folder cannot be written to | refused at once | `` `workdir` cannot be written to. Received: workdir=… `` | `test_workdir.py` |
| Two runs in one folder | the second is refused | `A run is under way in this folder (process 4711).` | `test_workdir.py` |
| Folder of a run with other settings | refused, with the differences | `` `workdir` holds a run with other settings. … learning_rate: 0.001 there, 0.1 here `` | `test_training.py` |
| Other images under the same name | refused, as far as some hundreds of them show it; of data that stream, their number and size | `… data: {… 'crc32': …} there, … here` | `test_training.py` |
| Folder of other files | refused | `` `workdir` must be a new or an empty folder, or that of a run to continue: this one holds other files. `` | `test_workdir.py` |
| Written by a newer version | refused | `The run was written by a newer version of keras_mvssl.` | `test_workdir.py`, `test_checkpoints.py` |
| `config.json` damaged | refused | `` `config.json` is not that of a run that can be continued `` | `test_workdir.py`, `test_long_runs.py` |
| The loss is not finite | ends; the last good checkpoint stays | `The loss is not finite after step 37, at a learning rate of 0.01. Means of this epoch before it: loss 12.3, … Try a lower learning rate, …` | `test_fitting.py` |
| Gradients not finite before a checkpoint | ends; it is not saved | `A variable is not finite after step 40: the gradients were not.` | `test_fitting.py` |
| float16 gradients overflow | the step is skipped and counted in `skipped_steps` | | `test_fitting.py` |
| An image is no image, zero bytes, truncated, enormous, of 32 bits | refused, or skipped with `--on_bad_image=skip` and listed in `bad_images.txt` | `An image cannot be read: image file is truncated … Received: cat/12.jpg` | `data/test_images.py` |
| An image vanishes while it streams | the same; with `skip` the next of its folder stands in | `An image cannot be read: … No such file or directory …` | `data/test_images.py` |
| CMYK, palette, gray, 16-bit gray, transparent, animated, turned by EXIF | read as they are seen; transparency is dropped, animations give their first picture | | `data/test_images.py` |
| Images of several sizes | refused without `--image_size` | ``Images differ in size: choose one with `image_size`.`` | `data/test_catalog.py` |
| `.npz` with pickled objects | refused | `The file cannot be read as .npz: …` | `data/test_catalog.py` |
| A setting out of its range | refused before anything is read | ``… Received: batch_size=1`` | `test_training.py`, `test_long_runs.py` |
"""
