"""Hidden stages: drawing one for a batch, and refusing a backbone that lacks one."""

import torch
from torch import Generator

from benchmark.backbones import Network
from benchmark.errors import InputError

INPUT = -1  # stands for the images where a stage is drawn


def random_stage(network: Network, stages: int, rng: Generator) -> int:
    """INPUT or one of the first `stages` hidden stages the network has, uniformly: in {-1, 0, ..., stages - 1}."""
    choices = 1 + min(stages, network.num_stages)
    return int(torch.randint(choices, (), generator=rng)) + INPUT


def require_stage(network: Network, stage: int) -> None:
    """Nothing if the network has that hidden stage, counted from 0.

    Raises:
        InputError: with the number it has, and a backbone with four.
    """
    if stage >= network.num_stages:
        raise InputError(
            f"hidden stage {stage} is needed, counted from 0, and this backbone has {network.num_stages}; "
            "take a shallower stage or a backbone with four, e.g. resnet18-thin or vit-tiny-p4"
        )
