"""Joins a job of two processes whose other process never comes."""

from keras_mvssl import distribution
from keras_mvssl.training import stopping

with stopping.stop_outside_of_training(ends_process=True):
    print("waits", flush=True)
    distribution.data_parallel()
    distribution.max_over_processes(0)
    print("has met the other")
