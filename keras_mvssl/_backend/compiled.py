"""Compiled steps, kept for the next start of a program."""

import hashlib
import os

import keras

from keras_mvssl._backend.device import processor_features
from keras_mvssl._internal.cache_folder import cache_folder

# Compilations that take less are not kept. JAX's own limit of 1 second leaves out the
# many small ones before the first step, which together take about as long as a step's.
LEAST_SECONDS = 0.1


def keep_compiled():
    """Let JAX keep what it compiles in the user's cache. Return the folder, or None.

    Call this before the first computation. A cache that the user has chosen, or has
    switched off, by JAX's own settings stays as it is. Other backends keep nothing.
    """
    if keras.backend.backend() != "jax":
        return None
    import jax

    chosen = jax.config.jax_compilation_cache_dir
    is_on = jax.config.jax_enable_compilation_cache
    if chosen or not is_on:
        return None
    # JAX's keys hold versions and flags. Machine code for one processor may not run on
    # another one, with which it may share the home folder.
    features = hashlib.sha256(processor_features().encode()).hexdigest()
    folder = cache_folder(os.path.join("jax", features[:12]))
    if folder is None:
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", LEAST_SECONDS)
    return folder
