"""Streams of randomness: (cell, purpose) -> torch.Generator, by SHA-256 of names.

Every purpose but `mix` hashes what all methods of a comparison share, so methods are compared in pairs on equal initial
weights, batches, crops, few-shot episodes and bootstrap resamples. `mix` hashes the method too. Adding a purpose never
moves another, and how scores are defined moves none. Every generator lives on the CPU: the same draws on any device,
and no synchronisation with a GPU.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Generator, Tensor

from benchmark.schema import Cell

Purpose = Literal[
    "init",
    "order",
    "policy",
    "dropout",
    "mix",
    "tune-init",
    "tune-order",
    "tune-policy",
    "tune-dropout",
    "tune-mix",
    "episodes",
    "clustering",
    "bootstrap",
    "shuffle",
]


def seed(cell: Cell, purpose: Purpose) -> int:
    """63-bit seed of a stream."""
    identity = cell.training_identity if purpose == "mix" else cell.shared_identity
    text = json.dumps([identity, purpose], sort_keys=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(cell: Cell, purpose: Purpose) -> Generator:
    """A fresh generator at the start of a stream."""
    return torch.Generator().manual_seed(seed(cell, purpose))


def beta(alpha: float, rng: Generator) -> float:
    """One draw from Beta(alpha, alpha), alpha >= 0.01.

    `torch.distributions.Beta` takes no generator, so two Gamma draws are divided; the call underneath is
    private to torch, hence this function alone makes it.

    Raises:
        ValueError: for an alpha so small that both Gammas underflow.
    """
    if alpha < 0.01:
        raise ValueError(f"alpha must be at least 0.01, got {alpha}")
    gammas = torch._standard_gamma(torch.full((2,), alpha, dtype=torch.float64), generator=rng)
    return float(gammas[0] / gammas.sum())


def betas(alpha: float, count: int, rng: Generator, device: torch.device) -> Tensor:
    """One draw from Beta(alpha, alpha) for each of `count` images, (count,) float32."""
    gammas = torch._standard_gamma(torch.full((2, count), alpha, dtype=torch.float64), generator=rng)
    return (gammas[0] / gammas.sum(dim=0)).float().to(device, non_blocking=True)


def dirichlets(alpha: float, shape: Sequence[int], rng: Generator, device: torch.device) -> Tensor:
    """Draws from Dirichlet(alpha, ..., alpha) along the last dimension of `shape`, float32."""
    gammas = torch._standard_gamma(torch.full(tuple(shape), alpha, dtype=torch.float64), generator=rng)
    return (gammas / gammas.sum(dim=-1, keepdim=True)).float().to(device, non_blocking=True)


def permutation(size: int, rng: Generator, device: torch.device) -> Tensor:
    """A random permutation of range(size) on a device, (size,) int64."""
    return torch.randperm(size, generator=rng).to(device, non_blocking=True)


def uniform(rng: Generator) -> float:
    """One draw from [0, 1)."""
    return float(torch.rand((), generator=rng, dtype=torch.float64))


def uniforms(shape: Sequence[int], rng: Generator, device: torch.device) -> Tensor:
    """Draws from [0, 1), float32."""
    return torch.rand(*shape, generator=rng).to(device, non_blocking=True)


def normals(shape: Sequence[int], rng: Generator, device: torch.device) -> Tensor:
    """Standard normal draws, float32."""
    return torch.randn(*shape, generator=rng).to(device, non_blocking=True)


def integers(high: int, shape: Sequence[int], rng: Generator, device: torch.device) -> Tensor:
    """Draws from {0, ..., high - 1}, int64."""
    return torch.randint(high, tuple(shape), generator=rng).to(device, non_blocking=True)
