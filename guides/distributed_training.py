"""
Title: Distributed training
Author: The keras_mvssl authors
Date created: 2026/11/25
Last modified: 2026/11/25
Description: One call for several devices: virtual ones on a laptop, GPUs, TPUs, several machines.
"""

"""
Barlow Twins, VICReg and the reformulated loss are statements about the statistics of the
whole batch. Several devices therefore tell each other their projections, the statistics of
batch normalisation and their gradients, so that N devices compute what one would: the same
loss, gradients, views and weights. `batch_size` is always that of all devices together.

In a recipe, `--devices=N` (all accelerators of the machine, if not given). In your own script,
one call before any model is built.

On a CPU `data_parallel(2)` makes two virtual devices, or on PyTorch two processes, each of which
runs this script.
"""

import keras_mvssl as mv

mv.distribution.data_parallel(2)  # or data_parallel(), for all accelerators

images, _ = mv.data.shapes.draw(512, seed=0)
encoder = mv.models.TinyResNet((32, 32, 3), width=8)
model = mv.MultiViewModel(
    encoder,
    mv.models.Projector(encoder.output_shape[-1], dim=32),
    mv.views.RandomViews(mv.views.Augmentation.preset("shapes"), views=4),
)
model.compile(optimizer="adam")
verbose = 2 if mv.distribution.is_chief() else 0
model.fit(mv.data.batches(images, batch_size=64), epochs=2, verbose=verbose)
if mv.distribution.is_chief():
    encoder.save("encoder.keras")

"""
Everything else stays as on one device. Give `fit` what `data.multiview` or `data.batches` make
of your images; with PyTorch's processes, and with JAX on several machines, each process reads
its own part of every batch from them.

## Tried and not tried

| Where | Command | Tried |
|---|---|---|
| JAX, one machine | `KERAS_BACKEND=jax python recipes/cifar10.py --devices=4` | 2, 4, 8 virtual CPU devices |
| TensorFlow, one machine | `KERAS_BACKEND=tensorflow python recipes/cifar10.py --devices=4` | 2, 4 virtual CPU devices |
| PyTorch, one machine | `KERAS_BACKEND=torch python recipes/cifar10.py --devices=4` | 2, 4 processes on a CPU (gloo) |
| PyTorch, `torchrun` | `KERAS_BACKEND=torch torchrun --nproc_per_node=4 recipes/cifar10.py` | 2 processes on a CPU |
| TensorFlow, several machines | `TF_CONFIG=... python recipes/cifar10.py` on each | 2 processes on a CPU, over the loopback interface |
| PyTorch, several machines | `torchrun --nnodes=2 --nproc_per_node=8 --rdzv_backend=c10d --rdzv_endpoint=HOST:29400 recipes/cifar10.py` on each | not yet run |
| JAX, several machines | below | 2 processes on a CPU, over the loopback interface |
| Several GPUs, TPUs | | not yet run (one GPU: JAX and PyTorch on an H100) |

`tests/distribution/test_parallel.py` (`pytest -m slow`) is what was tried: one and several
devices with a batch of 64 different images, 4 views, batch normalisation, 64 features, all
losses and a user's own; loss, gradients, statistics, and weights after 5 steps agree to 1e-4.
With `torchrun` and with two processes of JAX, a small recipe ran to its end, and no more was
compared; the two of TensorFlow also stopped at SIGTERM, together, and went on.

A process that dies ends the job: the others with a message, at once with PyTorch, after about a
minute with TensorFlow and JAX (65 and 72 s, when one of two was killed).

A run goes on with another number of devices ([long runs](long_runs.md)); on several machines
their `--workdir` must be a folder that all of them see.

## On a CPU

To try things out. On JAX and TensorFlow `--devices=2` makes two virtual devices of the CPU, on
PyTorch the script starts itself as two processes. No speed is gained.

## One machine with GPUs

No settings: `python recipes/cifar10.py`. Restrict the GPUs with
`CUDA_VISIBLE_DEVICES=0,1` or `--devices=2`. With PyTorch, a process that fails ends the job
with its message.

## Several machines

**TensorFlow.** `TF_CONFIG` names all workers, and which one this is:

```
TF_CONFIG='{"cluster": {"worker": ["host1:12345", "host2:12345"]}, "task": {"type": "worker", "index": 0}}' \
  KERAS_BACKEND=tensorflow python recipes/cifar10.py --workdir=/shared/runs/first
```

**PyTorch.** `torchrun` on each machine, as above.

**JAX.** Keras reads the addresses from the environment, on each machine with its own id:

```
KERAS_DISTRIBUTION_JOB_ADDRESSES=host1:12345,host2:12345 KERAS_DISTRIBUTION_NUM_PROCESSES=2 \
  KERAS_DISTRIBUTION_PROCESS_ID=0 KERAS_BACKEND=jax python recipes/cifar10.py --workdir=/shared/runs/first
```

Only the first process writes to the workdir and prints.

**SLURM**, for PyTorch; the others differ in the last line:

```
#!/bin/bash
#SBATCH --nodes=2 --ntasks-per-node=1 --gpus-per-node=8 --cpus-per-task=64
export KERAS_BACKEND=torch
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun torchrun --nnodes="$SLURM_NNODES" --nproc_per_node=8 --rdzv_id="$SLURM_JOB_ID" \
  --rdzv_backend=c10d --rdzv_endpoint="$head:29400" recipes/cifar10.py --workdir="$SCRATCH/first"
```

## TPUs

With JAX, on the TPU's machine: `KERAS_BACKEND=jax python recipes/cifar10.py`, all its chips
at once. TensorFlow's last release for TPUs is 2.19, older than Keras needs; it is refused.

## What to know

- Not on several devices with TensorFlow, where Keras 3.15 does it before it has the gradients
  of all: clipping, gradient accumulation, float16, `steps_per_execution`, `loss_weights`. They
  are refused; JAX and PyTorch do them.
- Batches of other data sets than this package's need a known size, `drop_remainder=True`;
  with processes (PyTorch, JAX on several machines) only `data.multiview` and `data.batches`
  know each one's part. `predict` of a stream returns a process' part.
- With PyTorch each process runs your whole script: write and print where
  `mv.distribution.is_chief()`. The callbacks of this package do. The encoder keeps its
  synchronisation: fine-tune it in a new process, from `encoder.keras`.
- The batch must be a multiple of the devices and give each 2 images at least.
- Batch normalisation is synchronised whatever its own settings, which are saved unchanged:
  encoders and checkpoints are those of one device and load anywhere.
- Dropout in an encoder of your own draws other masks than on one device (but not on JAX).
- Larger batches want other learning rates: `optimizers.scaled_rate(rate, batch_size)`
  multiplies that of a batch of 256 in proportion (for LARS and SGD) or by the square root
  (`rule="sqrt"`, for Adam). `--optimizer=lars` trains batches of thousands.
- `recipes/benchmarks/scaling.py` measures views per second against devices and prints what is
  sent per step, for any number of devices, batch and projector.
- What Keras 3.15 cannot do yet is closed in `keras_mvssl/distribution/`: `fit` with several
  workers of TensorFlow, and data parallelism on PyTorch, which Keras 3.16 announces.
"""
