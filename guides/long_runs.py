"""
Title: Long runs
Author: The keras_mvssl authors
Date created: 2026/11/25
Last modified: 2026/11/30
Description: Stop, kill and resume a run; checkpoints, precision, and what may go wrong.
"""

"""
A run can be stopped or killed at any moment. It continues when the same command, with its
`--workdir`, is started again. It ends as if it had not been interrupted: with the same weights, to
the last bit, and with the same rows in `metrics.csv`, except for measured times.

```
python recipes/cifar10.py --workdir=runs/first    # killed, preempted, out of memory ...
python recipes/cifar10.py --workdir=runs/first    # continues
```

`python tests/programs/kill.py FOLDER --kills=20` demonstrates this. It kills a run of
`recipes/shapes.py` at random moments, while the run loads, trains, probes and saves, and compares
the result with that of an uninterrupted run. (Results are equal to the last bit on a CPU, with the
same versions of all packages. On GPUs, some operations of the backends do not compute the same
result twice, interrupted or not.)

## What is saved, and when

A checkpoint is a folder `checkpoint/step-N/`. It holds:

- `model.keras`: the weights, the statistics of batch normalisation, the optimizer with the
  position of its learning rate and its loss scale, and the step of `RandomViews`;
- the random state of other layers, such as dropout;
- the means of the current epoch, and what callbacks need to remember;
- the settings of the model, the optimizer and the loss, to refuse others.

The order of the images and the views need not be saved, because they are functions of the seed and
the step. The random state of a layer in `RandomViews(extra=[...])` is saved like that of dropout.

A checkpoint is saved at the start, every `--checkpoint_minutes` (10), at the end of an epoch, at
each new best probe, and at the end; also every `--checkpoint_steps`, if you set it. Saving takes at
most 2 % of the time, not counting the best checkpoints and those of `--checkpoint_steps`: where it
would take more, checkpoints are saved less often. In a run of two minutes on two CPU cores, with a
checkpoint at the start, at the end and after each epoch, saving took 1.1 % of the time, 0.25 s for
each checkpoint (`recipes/benchmarks/checkpoints.py`, while other jobs used the same cores). The
last two checkpoints and the best one are kept.

A checkpoint is written under a temporary name, synced to the disk, and then renamed, and it has a
list of checksums. A checkpoint that exists is therefore complete.

`--resume=never` requires a new folder; `--resume=must` requires a run to continue. `--devices`,
`--workers`, `--data_dir`, `--on_bad_image` and the checkpoint flags may change from one start to
the next; other settings may not. On another number of devices, results are equal up to rounding.

`keras_mvssl.stream_version` is a number that increases when a new version of the package computes
something else from the same settings. A run that was started under another number cannot be
continued, but its `encoder.keras` still loads.

## Preemption and Ctrl-C

At SIGTERM, SIGINT (Ctrl-C) or SIGHUP (a closed terminal), the current step ends, its state is
saved, the command to continue is printed, and the process ends with code 75. After the last step of
an epoch, the probes of the epoch run first. Outside of training, for instance while data are read
or the report is written, there is nothing to save, and the process ends at once, also with code 75:
within 5 seconds where it waits for other processes or a library has dropped the request. A recipe
listens from its first statement on, before it imports anything; importing `keras_mvssl` changes no
handler. A second signal, at least a second after the first, ends the process at once in any case.
Signals that are ignored stay ignored: `nohup python recipes/cifar10.py &` outlives its terminal.

On several devices with PyTorch, the launcher passes signals on to its processes, and when the first
of them has ended, it kills those that have not ended after 30 seconds more. It does not matter
whether a signal goes to the launcher, to one process or to all. On Linux, the processes also stop
and save when the launcher is killed. On several machines, see
[distributed training](distributed_training.md). In SLURM (not yet run):

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
When this script is started again, it continues after the last saved step. Try Ctrl-C.

## What is carried over

`training.fit` was compared with an uninterrupted training for each optimizer, callback and feature
of Keras 3.15 in this table: stopped within an epoch and started again, it ends with the same
weights, to the last bit (`tests/training/test_carried_over.py`, on TensorFlow, JAX and PyTorch).

| Part of the training | When it goes on |
|---|---|
| Each optimizer of Keras and `LARS`: momenta, iterations, a learning rate that a callback has set | carried over |
| `gradient_accumulation_steps`: gradients accumulated so far | carried over |
| `use_ema`, `ema_overwrite_frequency`: averages of weights | carried over. Keras puts the averages into the model at the end of each `fit`; here that happens once, at the end of the training |
| `LossScaleOptimizer`, `MultiOptimizer`, `ScheduleFreeAdamW` | carried over |
| Schedules of the learning rate | a function of the iterations, which are carried over |
| Another optimizer, learning rate, schedule, loss, loss weight, layer, activation or number of views | refused, with the name of the setting. To train on with another one, begin a training in a new folder with `model.load_weights("…/step-N/model.keras")` |
| Other `metrics` of `compile` | refused within an epoch, where their sums are needed; used from the next epoch on otherwise |
| `run_eagerly`, `jit_compile`, `steps_per_execution` | used as given: they do not change what is computed, but for rounding |
| `epochs` | used as given |
| Another backend | goes on with a warning: the same views and steps, equal up to rounding, but other random numbers in layers such as dropout |
| `EarlyStopping`: its best value, its patience so far, its best weights | carried over; a finished training that is started again ends with the best weights again |
| `ReduceLROnPlateau`, `ModelCheckpoint`, `SwapEMAWeights` | carried over |
| `LearningRateScheduler` | called again for an epoch in which training was stopped, but the rate of the checkpoint stays |
| `keras.callbacks.TensorBoard` | its count of batches is carried over |
| `History` | begins anew, and holds the epochs of this start; all are in `MetricsCSV` |
| `TerminateOnNaN`, `LambdaCallback`, `RemoteMonitor`, `ProgbarLogger` | remember nothing |
| `OrbaxCheckpoint` | begins anew: what it writes is beside the training |
| `CSVLogger(append=False)` | refused: it would empty its file. Use `MetricsCSV`, which leaves out rows of epochs that are trained again |
| `BackupAndRestore` | refused: it would replace what `Checkpoint` has restored |
| `Throughput`, `Spectrum`, `MetricsCSV`, `StopOnDivergence` | carried over |
| `LinearProbe`, `KNNProbe`, `ViewGallery`, `mv.callbacks.TensorBoard` | depend on nothing before |
| Your own callbacks with `get_state()` and `set_state(state)` | carried over: `set_state` is called before and after `on_train_begin` |
| Your own callbacks without; callbacks that were not there before | begin anew; the line `Going on after step …` names them, and those that are no longer there |
| Weights that a callback sets in `on_train_begin` | those of the checkpoint stay |
| The code of functions and lambdas, your own layers and losses without a `get_config`, the stream | not compared: give the same |
| The trainer's `train_on_batch`, `evaluate`, `predict` | no part of `training.fit`; a model's variables are all that they change |

## The encoder of a run that has not ended

A recipe writes `encoder.keras` at its end. Until then, the encoder is part of the checkpoints.
Keras can load a checkpoint when `keras_mvssl` is imported.
"""

newest = max(pathlib.Path("runs/mine/checkpoint").glob("step-*"))
stopped = keras.saving.load_model(newest / "model.keras", compile=False)
stopped.encoder.save("encoder.keras")

"""
## Precision

In a recipe, use `--precision=bfloat16` or `--precision=float16`. In a script, call
`keras.config.set_dtype_policy("mixed_bfloat16")` before you build the model. The projections and
all statistics of the loss stay in float32. With float16, Keras scales the loss and skips steps
whose gradients overflow; `skipped_steps` in the logs counts them. Prefer bfloat16 where the device
supports it.

## What may go wrong, and what happens

Each line is tested; the last column names the test file below `tests/`.

| What goes wrong | What happens | Message | Test |
|---|---|---|---|
| The process is killed at any moment | the same command continues the run | | `programs/kill.py` |
| SIGTERM, Ctrl-C, SIGHUP | the step is saved; the process ends with code 75 | `Stopped by SIGTERM after step 120, which is saved. To go on, start the same again with --workdir=…` | `training/test_fit.py`, `training/test_run.py`, `programs/signals.py` |
| A signal while a process waits for others, or where nothing is to be saved | the process ends with code 75 | `Stopped by SIGTERM outside of training. To go on, …` | `_internal/test_signals.py`, `distribution/test_signals.py` |
| The disk is full while a checkpoint is saved | training continues; the previous checkpoint stays | `A checkpoint could not be saved; training goes on, and the one before stays. OSError: [Errno 28] No space left on device` | `training/test_fit.py` |
| The disk is full for `metrics.csv`, TensorBoard or pictures | training continues; the rows are written with the next epoch | `… could not be written; the run goes on.` | `callbacks/test_callbacks.py` |
| The run ended after training, and files are missing | started again, the run writes them | | `training/test_run.py` |
| The newest checkpoint is damaged: a file is missing or has another checksum | the run continues from the previous one | `The checkpoint … is damaged (model.keras has changed): falling back to ….` | `callbacks/test_checkpoint_store.py` |
| All checkpoints are damaged, or gone | refused: no run begins anew in silence | `Checkpoints exist, but none is whole …`, `The run has trained, but there is no checkpoint to go on from …` | `callbacks/test_checkpoint_store.py`, `training/test_whole.py` |
| The file system fails once while a checkpoint is read | the error is raised; nothing is put aside | `[Errno 116] Stale file handle: '…/step-000000120/manifest.json'` | `callbacks/test_checkpoint_store.py` |
| Standard output cannot be written: a full disk, a pipe that nobody reads | training continues without it | `Standard output cannot be written; training goes on.` | `_internal/test_output.py` |
| A file of a finished run is missing or has changed | started again, the run makes it again of the last checkpoint; without one, it is refused | `Of this finished run, encoder.keras has changed: made again of the last checkpoint.` | `training/test_whole.py`, `programs/truncate.py` |
| The disk is full for the encoder or the results | tried again at the end; then the run ends with an error, and started again, it writes them | `The training is over, but not all that it made could be written. …` | `training/test_whole.py`, `programs/full_disk.py` |
| The disk is full for the diagnostics, the report, the baselines, `bad_images.txt` | training continues; what is missing is made when the run is started again | `… could not be written; the run goes on.` | `training/test_whole.py`, `programs/full_disk.py` |
| The folder cannot be written to | refused at once | `` `workdir` cannot be written to. Received: workdir=… `` | `training/test_workdir.py` |
| Two runs use one folder | the second is refused | `A run is under way in this folder (process 4711).` | `training/test_workdir.py` |
| The folder holds a run with other settings | refused, with the differences | `` `workdir` holds a run with other settings. … learning_rate: 0.001 there, 0.1 here `` | `training/test_run.py` |
| The data have the same name but other images | refused, as far as some hundreds of the images show it; for data that stream, as far as their number and size show it | `… data: {… 'crc32': …} there, … here` | `training/test_run.py` |
| The folder holds other files | refused | `` `workdir` must be a new or an empty folder, or that of a run to continue: this one holds other files. `` | `training/test_workdir.py` |
| The run was written by a newer version | refused | `The run was written by a newer version of keras_mvssl.` | `training/test_workdir.py`, `callbacks/test_checkpoint_store.py` |
| The run has another `stream_version` | refused, with what changed | `The run was started by a version of keras_mvssl that computes other numbers from the same settings, and cannot be continued.` | `training/test_earlier_runs.py` |
| `config.json` is damaged | refused | `` `config.json` is not that of a run that can be continued `` | `training/test_workdir.py`, `training/test_long_runs.py` |
| The loss is not finite | training ends; the last good checkpoint stays | `The loss is not finite after step 37, at a learning rate of 0.01. Means of this epoch before it: loss 12.3, … Try a lower learning rate, …` | `training/test_fit.py` |
| Gradients are not finite before a checkpoint | training ends; this checkpoint is not saved | `A variable is not finite after step 40: the gradients were not.` | `training/test_fit.py` |
| float16 gradients overflow | the step is skipped and counted in `skipped_steps` | | `training/test_fit.py` |
| A file is not an image, is empty, truncated or enormous, or has values of more than 16 bits | refused; with `--on_bad_image=skip`, skipped and listed in `bad_images.txt` | `An image cannot be read: image file is truncated … Received: cat/12.jpg` | `data/test_images.py` |
| An image disappears while the images stream | the same; with `skip`, the next image of its folder takes its place | `An image cannot be read: … No such file or directory …` | `data/test_images.py` |
| An image is CMYK, palette, gray, 16-bit gray, transparent, animated or turned by EXIF | read as it is seen, over white where it is transparent; an animation gives its first picture. One line tells what was changed | | `data/test_decoding.py` |
| Images have several sizes | refused without `--image_size` | ``Images differ in size: choose one with `image_size`.`` | `data/test_catalog.py` |
| An `.npz` file holds pickled objects | refused | `The file cannot be read as .npz: …` | `data/test_catalog.py` |
| A setting is out of its range | refused before anything is read | ``… Received: batch_size=1`` | `training/test_run.py`, `training/test_long_runs.py` |
"""
