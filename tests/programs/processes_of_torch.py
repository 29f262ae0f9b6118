"""Has PyTorch start two processes, and checks what they agree on.

python processes_of_torch.py [die|fail|leave]: one may die, or fail at what is done
once, where the other is there or has left.
"""

import os
import sys
import time

import keras
import numpy as np
import torch

from keras_mvssl import distribution
from keras_mvssl import views


def main(end=""):
    distribution.data_parallel(2)
    rank, count = distribution.processes()
    chosen = distribution.once(lambda: distribution.once(lambda: rank))
    if end == "leave" and rank:
        os._exit(0)
    if end == "leave":
        time.sleep(1)
    if end in ("fail", "leave"):
        distribution.once(lambda: 1 / 0)
    print("here", rank, count, chosen, distribution.replicas())
    if end == "die":
        sys.exit(7) if rank else time.sleep(500)
    begin_alike(rank)
    gather_in_any_order_of_memory(rank)
    make_the_views_of_one(rank)


def begin_alike(rank):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd")
    model.set_weights([w * 0 + 5 + rank for w in model.get_weights()])
    distribution.copy_from_first_process(model)
    assert all((w == 5).all() for w in model.get_weights())
    assert distribution.max_over_processes(rank) == 1


def gather_in_any_order_of_memory(rank):
    x = torch.ones(2, 3, 4, requires_grad=True)
    weights = torch.arange(48.0).reshape(4, 3, 4) * (rank + 1)
    turned = distribution.gather(x).permute(2, 0, 1)
    (turned * weights.permute(2, 0, 1).contiguous()).sum().backward()
    expected = 3 * torch.arange(48.0).reshape(2, 2, 3, 4)[rank]
    torch.testing.assert_close(x.grad, expected)
    assert not distribution.gather(x.detach()).requires_grad


def make_the_views_of_one(rank):
    images = np.arange(8 * 6 * 6 * 3).reshape(8, 6, 6, 3) % 256
    images = images.astype("uint8")
    layer = views.RandomViews(views.Augmentation(size=5), 2)
    whole = layer(images, step=0, offset=0)
    part = layer(np.split(images, 2)[rank], training=True)
    torch.testing.assert_close(part, whole[4 * rank : 4 * rank + 4], atol=1e-3, rtol=0)


if __name__ == "__main__":
    main(*sys.argv[1:])
