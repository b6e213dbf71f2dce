"""One frozen pass over the splits: features before the head, what the head makes of them, and hidden stages."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from benchmark.backbones import Network
from benchmark.pretrain import forward_in_batches
from benchmark.schema import Affine, Data, Features, Images

Statistics = tuple[Tensor, Tensor]  # mean and standard deviation of each channel of the images trained on


def extract(
    network: Network, data: Data, source: Data | None, statistics: Statistics, device: torch.device
) -> Features:
    """Features of all splits in evaluation mode and fp32, on the CPU.

    Args:
        network: trained; its mode is left as it was.
        data: uint8 splits that are evaluated.
        source: those that pretraining was on, where they are others.
        statistics: to normalise pixels by.
        device: where to compute.
    """
    train, val, test = (
        pooled(network, split.images, statistics, device) for split in (data.train, data.val, data.test)
    )
    held_out = pooled(network, source.val.images, statistics, device) if source else val
    seen = pooled(network, source.test.images, statistics, device) if source else None
    return Features(
        train=train,
        val=val,
        test=test,
        head=_affine(network.head),
        held_out_logits=_classified(network, held_out, device),
        test_logits=_classified(network, test, device),
        source_logits=None if seen is None else _classified(network, seen, device),
    )


def pooled(network: Network, images: Images, statistics: Statistics, device: torch.device) -> Tensor:
    """Features before the head, (N, D) float32 on the CPU."""
    mean, std = (stat.to(device) for stat in statistics)
    return forward_in_batches(network, network.features, images, mean, std).cpu()


def by_layer(network: Network, images: Images, statistics: Statistics, device: torch.device) -> Mapping[str, Tensor]:
    """Averaged outputs of the hidden stages from one pass, "stage 1" (shallow) onwards: (N, D') float32 on the CPU."""
    mean, std = (stat.to(device) for stat in statistics)
    widths: list[int] = []

    def forward(batch: Tensor) -> Tensor:
        stages = network.stage_features(batch)
        widths[:] = [stage.shape[1] for stage in stages]
        return torch.cat(stages, dim=1)

    together = forward_in_batches(network, forward, images, mean, std).cpu()
    return {f"stage {i}": stage.contiguous() for i, stage in enumerate(together.split(widths, dim=1), start=1)}


@torch.inference_mode()
def _classified(network: Network, features: Tensor, device: torch.device) -> Tensor:
    return network.classify(features.to(device)).cpu()


def _affine(head: nn.Module) -> Affine | None:
    if not isinstance(head, nn.Linear):
        return None
    weight = head.weight.detach().float().cpu()
    bias = torch.zeros(len(weight)) if head.bias is None else head.bias.detach().float().cpu()
    return weight, bias
