"""What several tests need: gradients on any backend, weights, other processes."""

import atexit
import contextlib
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import tempfile

import keras
import numpy as np
from keras import ops

from keras_mvssl.data import shapes

ROOT = pathlib.Path(__file__).parent.parent

NASTY = "</td><script>x</script><a href='javascript:x'>\ud800"
# Each type of JSON, and numbers that Python reads from it, for files of others.
JSON_VALUES = [None, True, 0, -1, 1.5, "", NASTY, [], [NASTY], {}, {NASTY: NASTY}]
JSON_VALUES += [float("nan"), float("inf"), 10**400, [[1]], {"a": {"b": [1]}}]


def value_and_gradient(function, array):
    """Value of a scalar function and its gradient, as NumPy, on any backend."""
    return _value_and_gradient(function)(array)


def compiled_value_and_gradient(function):
    """`value_and_gradient` of a function to be called often, compiled where it can."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        function = tf.function(function)
    return _value_and_gradient(function)


def _value_and_gradient(function):
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        def step(array):
            x = tf.constant(array)
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = function(x)
            return value, tape.gradient(value, x)

    elif backend == "jax":
        import jax

        step = jax.jit(jax.value_and_grad(function))  # as models compute losses
    else:

        def step(array):
            x = ops.convert_to_tensor(array).requires_grad_(True)
            value = function(x)
            value.backward()
            return value, x.grad

    def as_numpy(array):
        value, gradient = step(array)
        value, gradient = map(ops.convert_to_numpy, (value, gradient))
        return float(value), np.asarray(gradient)

    return as_numpy


def hessian_product(function, array, direction):
    """The gradient of ⟨gradient of a scalar function, direction⟩, as NumPy."""
    backend = keras.backend.backend()
    x, direction = ops.convert_to_tensor(array), ops.convert_to_tensor(direction)
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = function(x)
            slope = ops.sum(tape.gradient(value, x) * direction)
        product = outer.gradient(slope, x)
    elif backend == "jax":
        import jax

        gradient = jax.grad(function)
        second = jax.grad(lambda x: ops.sum(gradient(x) * direction))
        product = jax.jit(second)(x)
    else:
        import torch

        x = x.requires_grad_(True)
        (gradient,) = torch.autograd.grad(function(x), x, create_graph=True)
        (product,) = torch.autograd.grad(ops.sum(gradient * direction), x)
    return np.asarray(ops.convert_to_numpy(product))


def slopes(function, x, directions, step=1e-5):
    """Central differences of a NumPy function in float64 along some directions."""
    return np.array(
        [
            (function(x + step * d) - function(x - step * d)) / (2 * step)
            for d in directions
        ]
    )


def small_encoder(image_shape):
    """An encoder with a convolution and batch normalisation, quick to compile."""
    return keras.Sequential(
        [
            keras.Input(image_shape),
            keras.layers.Rescaling(1 / 128, offset=-1),
            keras.layers.Conv2D(16, 4, strides=4, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )


@contextlib.contextmanager
def keras_set_to(image_data_format="channels_last", floatx="float32"):
    """Keras as a program has set it for networks of its own."""
    keras.config.set_image_data_format(image_data_format)
    keras.config.set_floatx(floatx)
    try:
        yield
    finally:
        keras.config.set_image_data_format("channels_last")
        keras.config.set_floatx("float32")


def draw_few_shapes(most, replace=setattr):
    """Draw at most so many images of shapes, where thousands are asked for."""
    draw = shapes.draw
    replace(
        shapes, "draw", lambda count, *args, **kw: draw(min(count, most), *args, **kw)
    )


def weights_of(model):
    return [np.array(w) for w in model.get_weights()]


def set_numbered_weights(model, seed=0):
    """Gives a model weights that are the same on every backend."""
    rng = np.random.default_rng(seed)
    model.set_weights(
        [
            np.abs(w) + rng.uniform(0, 0.1, w.shape)
            if w.ndim == 1
            else rng.normal(0, 1 / np.sqrt(np.prod(w.shape[:-1])), w.shape)
            for w in model.get_weights()
        ]
    )


PATHS = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
TIME_LIMIT = 600  # seconds of one process


def ignoring(numbers, *command):
    """Return a command that ignores some signals, as under nohup (JAX minds a fork)."""
    names = [signal.Signals(number).name.removeprefix("SIG") for number in numbers]
    traps = "".join(f"trap '' {name}; " for name in names)
    return ["sh", "-c", f'{traps}exec "$@"', "sh", *map(str, command)]


def run_python(*arguments, backend=None, environment=None, **kwargs):
    """Run Python in a process of its own, with the package on its path.

    It takes seconds to start. `run_script` does not, and serves where neither the start
    nor the end of the process is what is tested.
    """
    environment = {**os.environ, "PYTHONPATH": PATHS, **(environment or {})}
    if backend is not None:
        environment["KERAS_BACKEND"] = backend
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=TIME_LIMIT,
        **kwargs,
    )


def run_script(*arguments, backend=None, environment=None, cwd=None, most_images=None):
    """Run `python *arguments` in a copy of a process that has imported the package.

    See `programs/host.py`. It takes and returns what `run_python` does. `most_images`
    is how many images of shapes are drawn at most, where a script asks for thousands.
    """
    arguments = list(map(str, arguments))
    backend = backend or keras.backend.backend()
    environment = {
        **os.environ,
        **(environment or {}),
        "PYTHONPATH": PATHS,
        "KERAS_BACKEND": backend,
    }
    host = _host(backend, environment.get("TFDS_DATA_DIR"))
    process = None
    with tempfile.TemporaryDirectory() as folder:
        out, errors = (pathlib.Path(folder) / name for name in ("out", "errors"))
        out.touch()
        errors.touch()
        job = {
            "arguments": arguments,
            "cwd": str(cwd or os.getcwd()),
            "environment": environment,
            "most_images": most_images,
            "stdout": str(out),
            "stderr": str(errors),
        }
        try:
            host.stdin.write(json.dumps(job).encode() + b"\n")
            process = _number_from(host)
            code = _number_from(host)
        except BaseException as error:  # A test that is interrupted leaves nothing.
            if process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process, signal.SIGKILL)
            _end_host()
            if isinstance(error, TimeoutError):
                texts = out.read_text(), errors.read_text()
                raise subprocess.TimeoutExpired(arguments, TIME_LIMIT, *texts) from None
            raise
        texts = out.read_text(), errors.read_text()
    return subprocess.CompletedProcess(arguments, code, *texts)


def _number_from(host):
    """Read a number that a host writes when it has it."""
    ready, _, _ = select.select([host.stdout], [], [], TIME_LIMIT)
    if not ready:
        raise TimeoutError
    line = host.stdout.readline()
    if not line:
        raise RuntimeError(f"The host of scripts ended with {host.wait()}.")
    return int(line)


_hosts = {}  # one at most: a host takes a gigabyte


def _host(*key):
    """Return the host for a backend and a folder of TFDS, which is read on import."""
    if key not in _hosts:
        _end_host()
        backend, tfds_data_dir = key
        environment = {**os.environ, "PYTHONPATH": PATHS, "KERAS_BACKEND": backend}
        # Where a machine has no GPU, TensorFlow may write an error of its own.
        environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
        if tfds_data_dir:
            environment["TFDS_DATA_DIR"] = tfds_data_dir
        _hosts[key] = subprocess.Popen(
            [sys.executable, ROOT / "tests/programs/host.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # so that `select` sees each line that is not read yet
            env=environment,
        )
    return _hosts[key]


@atexit.register
def _end_host():
    while _hosts:
        _, host = _hosts.popitem()
        host.kill()  # It would take itself apart for seconds.
        host.communicate()
