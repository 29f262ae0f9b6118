"""
Title: Distributed training
Author: The keras_mvssl authors
Date created: 2026/11/25
Last modified: 2026/11/30
Description: One call for several devices: virtual ones on a laptop, GPUs, TPUs, several machines.
"""

"""
Barlow Twins, VICReg and the reformulated loss depend on statistics of the whole batch. Several
devices therefore exchange their projections, the statistics of batch normalisation and their
gradients, so that N devices compute what one device would: the same loss, gradients, views and
weights. `batch_size` is always the batch size of all devices together.

In a recipe, use `--devices=N`; without it, a recipe uses all accelerators of the machine. In your
own script, make one call before any model is built, as below.

On a CPU, `data_parallel(2)` makes two virtual devices. With PyTorch it starts two processes, each
of which runs this script.
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
Everything else stays as on one device. Give `fit` a stream of `data.multiview` or `data.batches`:
with the processes of PyTorch, and with JAX on several machines, each process reads its own part of
every batch from the stream.

## What was tried

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

`tests/distribution/test_parallel.py` compares one device with 2 and, before a release, 4 (8 on
JAX): a batch of 64 different images, 4 views, batch normalisation, 48 features, all losses and a
user's own. Loss, gradients, statistics, and the weights after 5 steps agree to 1e-4. On a CPU,
`recipes/shapes.py` with `--devices=2` ended with a probe of 80.6 % on TensorFlow, 76.6 % on JAX and
80.8 % on PyTorch, where one device ended with 80.9, 76.3 and 80.7 %; these runs are of different
commits ([results](../recipes/results/README.md)). With `torchrun`, and with two processes of JAX, a
small recipe ran to its end; nothing more was compared. The two processes of TensorFlow also stopped
together at SIGTERM, and continued.

If a process dies, the job ends. The other processes end with a message: at once with PyTorch, after
about a minute with TensorFlow and JAX (65 and 72 s, when one of two processes was killed).

Asked to stop ([long runs](long_runs.md)), the processes of a training agree on the step that they
save, also where only one of them gets the signal. Outside of training they do not: a process that
is asked to stop while it reads data or probes ends with code 75, and the others wait for it in
vain. The launcher of PyTorch's processes, and `torchrun`, then stop them. With TensorFlow and JAX,
send the signal to all processes, or the others wait until their library gives up, with an error.
Two cases differ. While TensorFlow waits for other workers to start, no code of Python can run:
SIGINT and SIGHUP end the process with the signal's own code, not 75, and TensorFlow drops SIGTERM,
so only SIGKILL is left for a scheduler. And JAX takes SIGTERM when its processes connect, for a
service that no recipe uses; recipes and `training.fit` take it back, but in your own script it does
nothing outside of `fit`.

A run can continue on another number of devices ([long runs](long_runs.md)). On several machines,
`--workdir` must be a folder that all of them see.

## On a CPU

Several devices on a CPU are for trying things out; they are not faster. With JAX and TensorFlow,
`--devices=2` makes two virtual devices of the CPU. With PyTorch, the script starts itself as two
processes.

## One machine with GPUs

No settings are needed: `python recipes/cifar10.py` uses all GPUs. To use fewer, set
`CUDA_VISIBLE_DEVICES=0,1` or `--devices=2`. With PyTorch, a process that fails ends the job with
its message.

## Several machines

**TensorFlow.** `TF_CONFIG` names all workers, and says which of them this machine is:

```
TF_CONFIG='{"cluster": {"worker": ["host1:12345", "host2:12345"]}, "task": {"type": "worker", "index": 0}}' \
  KERAS_BACKEND=tensorflow python recipes/cifar10.py --workdir=/shared/runs/first
```

**PyTorch.** Run `torchrun` on each machine, as in the table above.

**JAX.** Keras reads the addresses from the environment. Set another id on each machine:

```
KERAS_DISTRIBUTION_JOB_ADDRESSES=host1:12345,host2:12345 KERAS_DISTRIBUTION_NUM_PROCESSES=2 \
  KERAS_DISTRIBUTION_PROCESS_ID=0 KERAS_BACKEND=jax python recipes/cifar10.py --workdir=/shared/runs/first
```

Only the first process writes to the workdir and prints.

**SLURM**, for PyTorch (for the other backends, only the last line differs):

```
#!/bin/bash
#SBATCH --nodes=2 --ntasks-per-node=1 --gpus-per-node=8 --cpus-per-task=64
export KERAS_BACKEND=torch
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun torchrun --nnodes="$SLURM_NNODES" --nproc_per_node=8 --rdzv_id="$SLURM_JOB_ID" \
  --rdzv_backend=c10d --rdzv_endpoint="$head:29400" recipes/cifar10.py --workdir="$SCRATCH/first"
```

## Who can connect

The processes of a job trust whoever connects to them: they ask for no password, and PyTorch unpickles
part of what it receives. Other users of the same machine can connect to its loopback, too.

| Job | Listens on |
|---|---|
| JAX or TensorFlow on one machine, one process | nothing on a CPU; with several GPUs the loopback (NCCL, not yet run) |
| PyTorch on one machine, `python script.py` | the loopback (gloo, NCCL); processes meet by a file in a private folder |
| PyTorch on one machine, `torchrun` | two ports of torchrun on all addresses, with `--standalone` too; else the loopback |
| PyTorch on several machines | the port of `--rdzv_endpoint` and another, on all addresses of the first machine; free ports on each |
| JAX, first address `localhost`, `127.x` or `[::1]` | the loopback |
| JAX on several machines | the port of the first address, on all addresses of that machine; free ports on each |
| TensorFlow with `TF_CONFIG` | each worker's port on all addresses, even if `TF_CONFIG` says `localhost` |

So on a shared network, prefer one machine without `torchrun`. Run several machines only in a network
that you trust, or behind a firewall that lets just these machines reach each other on all ports. The
address of the first JAX process is limited by `JAX_COORDINATOR_BIND_ADDRESS=host:port`, the interface
of gloo and NCCL by `GLOO_SOCKET_IFNAME` and `NCCL_SOCKET_IFNAME`. TensorFlow has no such setting.

## TPUs

With JAX, on the machine of the TPU, `KERAS_BACKEND=jax python recipes/cifar10.py` uses all its
chips at once. TensorFlow's last release for TPUs is 2.19, which is older than Keras needs; it is
refused.

## What to know

- On several devices with TensorFlow, the following are refused: clipping, gradient accumulation,
  float16, `steps_per_execution` and `loss_weights`. Keras 3.15 applies them before the gradients
  of all devices are known. JAX and PyTorch support them.
- Batches of data sets other than this package's need a known size: use `drop_remainder=True`. With
  several processes (PyTorch, JAX on several machines), only `data.multiview` and `data.batches`
  know the part of each process. There, `predict` of a stream returns the part of its process.
- With PyTorch, each process runs your whole script: write and print only where
  `mv.distribution.is_chief()` is true, as the callbacks of this package do. The encoder stays
  synchronised between processes: fine-tune it in a new process, from `encoder.keras`.
- The batch size must be a multiple of the number of devices, with at least 2 images for each.
- Batch normalisation is synchronised whatever its own settings, which are saved unchanged: encoders
  and checkpoints are those of one device, and load anywhere.
- Dropout in an encoder of your own, and layers with random state in `RandomViews(extra=[...])`, draw
  other numbers than on one device (except on JAX).
- Larger batches need other learning rates: `optimizers.scaled_rate(rate, batch_size)` scales the
  rate of a batch of 256 in proportion to the batch size (for LARS and SGD), or by its square root
  (`rule="sqrt"`, for Adam). `--optimizer=lars` trains with batches of thousands of images.
- `recipes/benchmarks/scaling.py` measures views per second against the number of devices, and
  prints how much is sent per step for any number of devices, batch size and projector.
- `keras_mvssl/distribution/` adds what Keras 3.15 cannot do yet: `fit` with several workers of
  TensorFlow, and data parallelism on PyTorch, which Keras 3.16 announces.
"""
