"""Gradients and statistics of one step, alone or, as a script under torchrun, shared out to processes."""

import sys

import torch
from safetensors.torch import save_file
from torch import Generator

from benchmark import backbones, distributed, registry
from benchmark.errors import InputError
from benchmark.methods.base import Progress

# All methods meet BatchNorm; LayerNorm, and BatchNorm fused with activations, meet one of each kind.
KINDS = ("baseline", "manifold_mixup", "simclr", "snapmix", "tokenmix")
IMAGES, CLASSES, EDGE = 8, 3, 16


def steps():
    """(backbone and method, their step) of all that fit; methods that mix some batches mix this one."""
    for backbone, names in {
        "test_resnet": registry.methods(),
        "vit-thin-p2": KINDS,
        "test_efficientnet": KINDS,
    }.items():
        for name in names:
            certain = {key: 1.0 for key in registry.method(name, {}).params if key == "probability"}
            method = registry.method(name, certain)
            network = backbones.build(backbone, {}, CLASSES, 3, EDGE, seed=0)
            try:
                method.check(network)
            except InputError:
                continue
            yield f"{backbone} {name}", step(network, method)


def step(network, method):
    """Gradients, statistics of BatchNorm and loss after one backward pass in float64, by name."""
    data, mix = Generator().manual_seed(1), Generator().manual_seed(2)
    pixels = torch.randint(0, 256, (IMAGES, 3, EDGE, EDGE), generator=data, dtype=torch.uint8)
    labels = torch.arange(IMAGES) % CLASSES
    network.auxiliary = method.auxiliary(network, mix)
    network.double().train()
    network.shared_out = distributed.size() > 1
    images = (method.views(pixels, mix).double() / 128 - 1).contiguous(memory_format=torch.channels_last)
    progress = Progress(epoch=1, fraction=0.5, train_acc=0.5, class_counts=torch.bincount(labels))
    loss = method.loss(network, images, labels, progress, mix)
    loss.backward()
    if network.shared_out:
        distributed.sum_gradients(network.parameters(), network.replicated_parameters())
    gradients = {f"d {name}": p.grad for name, p in network.named_parameters() if p.grad is not None}
    statistics = {name: value for name, value in network.named_buffers() if name.endswith(("_mean", "_var"))}
    return {"loss": loss.detach(), **gradients, **statistics}


def main() -> None:
    distributed.join("cpu")
    found = {f"{name}|{key}": value.contiguous() for name, values in steps() for key, value in values.items()}
    if distributed.rank() == 0:
        save_file(found, sys.argv[1])
    distributed.leave()


if __name__ == "__main__":
    main()
