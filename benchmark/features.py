"""One frozen pass over the splits: features before the head, and the head itself."""

import torch
from torch import Tensor, nn

from benchmark.backbones import Network
from benchmark.pretrain import forward_in_batches
from benchmark.schema import Data, Features


def extract(network: Network, data: Data, statistics: tuple[Tensor, Tensor], device: torch.device) -> Features:
    """Features of all splits in evaluation mode and fp32, on the CPU.

    Args:
        network: trained; its mode is left as it was.
        data: uint8 splits.
        statistics: mean and standard deviation of each channel of the images trained on, to normalise pixels by.
        device: where to compute.
    """
    mean, std = (stat.to(device) for stat in statistics)
    train, val, test = (
        forward_in_batches(network, network.features, split.images, mean, std)
        for split in (data.train, data.val, data.test)
    )
    with torch.inference_mode():
        val_logits, test_logits = (network.classify(features).cpu() for features in (val, test))
    weight, bias = _linear_head(network.head)
    return Features(train.cpu(), val.cpu(), test.cpu(), val_logits, test_logits, weight, bias)


def _linear_head(head: nn.Module) -> tuple[Tensor | None, Tensor | None]:
    if not isinstance(head, nn.Linear):
        return None, None
    weight = head.weight.detach().float().cpu()
    bias = torch.zeros(len(weight)) if head.bias is None else head.bias.detach().float().cpu()
    return weight, bias
