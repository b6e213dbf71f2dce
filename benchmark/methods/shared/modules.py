"""Auxiliary modules whose initial weights come from the method's own generator."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Generator, nn

M = TypeVar("M", bound=nn.Module)


def seeded(make: Callable[[], M], rng: Generator) -> M:
    """A module made under a seed drawn from `rng`; torch's global random state stays as it was."""
    seed = int(torch.randint(2**62, (), generator=rng))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()
