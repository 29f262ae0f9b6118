"""Training steps written by hand in PyTorch, as many as asked for, and their times."""

import sys
import time

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.first = convolution(inputs, outputs, 3, stride)
        self.second = convolution(outputs, outputs, 3, 1)
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = convolution(inputs, outputs, 1, stride)

    def forward(self, x):
        return torch.relu(self.second(torch.relu(self.first(x))) + self.shortcut(x))


def convolution(inputs, outputs, size, stride):
    layer = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs))


width, blocks, images, views, pixels, dim = map(int, sys.argv[1:])
layers, channels = [convolution(3, width, 3, 1), nn.ReLU()], width
for i in range(4 * blocks):
    stride = 2 if i % blocks == 0 and (i or blocks == 1) else 1
    layers.append(Block(channels, width * 2 ** (i // blocks), stride))
    channels = width * 2 ** (i // blocks)
layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, dim, bias=False)]
layers += [nn.BatchNorm1d(dim), nn.ReLU()]
memory = dict(memory_format=torch.channels_last)
model = nn.Sequential(*layers, nn.Linear(dim, dim)).to(**memory)
optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
x = torch.rand(images * views, 3, pixels, pixels).to(**memory)


def step():
    z = model(x)
    z = (z - z.mean(0)) / (z.var(0, unbiased=False) + 1e-5).sqrt()
    z = z.reshape(images, views, dim)
    mean = z.mean(1)
    agreement = torch.einsum("bvd,bd->vd", z, mean) / images
    products = (mean.T @ mean / images).square()
    redundancy = products.sum() - products.diagonal().sum()
    loss = (1 - agreement).square().sum(1).mean() + 4 / dim * redundancy
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


for line in sys.stdin:
    begin = time.process_time(), time.perf_counter()
    for _ in range(int(line)):
        step()
    print(time.process_time() - begin[0], time.perf_counter() - begin[1], flush=True)
