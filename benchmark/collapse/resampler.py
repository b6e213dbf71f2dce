"""Class moments of resampled images, from products of weights and features instead of repeated rows."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.collapse.margins import head_margins
from benchmark.collapse.moments import Moments, chunks, moments
from benchmark.collapse.neural_collapse import Linear, answered, between_axes
from benchmark.collapse.norms import lengths

BLOCK = 64  # images, sorted by class, that are summed in one product: few large classes or many small ones


class Resampler:
    """What resamples of one set of images have in common."""

    def __init__(
        self, features: Tensor, fine: Tensor, to_coarse: Tensor, head: Linear | None, probe: Linear | None
    ) -> None:
        self.features, self.fine, self.to_coarse = features, fine, to_coarse
        self.norms = lengths(features)
        self.margins = None if head is None else head_margins(features, to_coarse[fine], head)
        self.answers = {
            level: answered(features, linear)
            for level, linear in (("coarse", head), ("fine", probe))
            if linear is not None
        }
        self._unit, self._raw = moments(features, fine, unit=True), moments(features, fine)
        self._by_class = fine.argsort(stable=True).split(BLOCK)

    def moments(self, weights: Tensor) -> tuple[Moments, Moments]:
        """Moments by fine class of unit features and of features as they are, for each of B resamples.

        Args:
            weights: (B, N) int, how often each image occurs.

        Raises:
            ValueError: for weights of another length, or without images of a class.
        """
        if weights.ndim != 2 or weights.shape[1] != len(self.fine):
            raise ValueError(f"expected weights (B, {len(self.fine)}), got {tuple(weights.shape)}")
        return self._resampled(self._unit, weights, unit=True), self._resampled(self._raw, weights, unit=False)

    def _resampled(self, of: Moments, weights: Tensor, *, unit: bool) -> Moments:
        """Deviations from the means of all images are summed, so small spreads keep their digits."""
        sizes, squares, copies = of.means.new_zeros(3, len(weights), len(of.labels))
        shift = of.means.new_zeros(len(weights), *of.means.shape)  # (B, K, D)
        for images in self._by_class:
            ((_, deviation),) = chunks(self.features[images], unit=unit)
            position = torch.searchsorted(of.labels, self.fine[images])
            deviation -= of.means[position]
            of_block = slice(int(position[0]), int(position[-1]) + 1)
            member = torch.arange(of_block.start, of_block.stop, device=position.device)[:, None] == position  # (k, n)
            counts = weights[:, None, images].to(deviation) * member  # (B, k, n)
            sizes[:, of_block] += counts.sum(dim=2)
            copies[:, of_block] += counts.square().sum(dim=2)
            shift[:, of_block] += counts @ deviation
            squares[:, of_block] += counts @ deviation.square().sum(dim=1)
        if (sizes == 0).any():
            raise ValueError("expected at least one image of each fine class in every resample; draw inside classes")
        shift /= sizes[..., None]
        spread = (squares / sizes - shift.square().sum(dim=-1)).clamp(min=0)
        return Moments(of.labels, sizes, of.means + shift, spread, copies)

    def scatter(self, raw: Moments, weights: Tensor) -> dict[str, Tensor]:
        """NC1, and NC4 where there is a classifier, of each resample on both levels, (B,) float64.

        Both need images in the coordinates of the resample's own class means, the costly part: once for both levels.
        """
        levels = [_Level(raw.merged(self.to_coarse), self.to_coarse[self.fine], self.answers.get("coarse"))]
        levels.append(_Level(raw, self.fine, self.answers.get("fine")))
        axes = torch.cat([level.axes for level in levels], dim=1)  # (B, R, D)
        for rows, chunk in chunks(self.features):
            for b, counts in enumerate(weights[:, rows].to(chunk)):
                drawn = counts.nonzero().squeeze(1)
                coordinates = (chunk[drawn] @ axes[b].T).split([level.axes.shape[1] for level in levels], dim=1)
                for level, along in zip(levels, coordinates, strict=True):
                    level.add(b, along, counts[drawn], rows.start + drawn)
        values = {f"nc1_{name}": level.nc1() for name, level in zip(("coarse", "fine"), levels, strict=True)}
        for name, level in zip(("coarse", "fine"), levels, strict=True):
            if level.answers is not None:
                values[f"nc4_{name}"] = level.nc4()
        return values


class _Level:
    """Sums over images of B resamples on one level of labels."""

    def __init__(self, of: Moments, labels: Tensor, answers: Tensor | None) -> None:
        self.of, self.answers = of, answers
        self.position = torch.searchsorted(of.labels, labels)  # (N,) rows of the moments
        self.axes, self.means, self.inverse = between_axes(of)  # (B, R, D), (B, K, R), (B, R)
        self.origin = (of.means.mean(dim=1, keepdim=True) @ self.axes.transpose(1, 2)).squeeze(1)  # (B, R)
        self.half = self.means.square().sum(dim=2) / 2  # (B, K)
        self.squares, self.differing = torch.zeros_like(self.inverse), torch.zeros_like(self.inverse[:, 0])

    def add(self, b: int, along: Tensor, counts: Tensor, images: Tensor) -> None:
        """Images of resample b by their products with its axes, (n, R), and how often each occurs."""
        coordinates = along - self.origin[b]
        self.squares[b] += counts @ (coordinates - self.means[b][self.position[images]]).square_()
        if self.answers is not None:
            nearest = torch.addmm(-self.half[b], coordinates, self.means[b].T).argmax(dim=1)
            self.differing[b] += counts @ (self.of.labels[nearest] != self.answers[images]).to(counts)

    def nc1(self) -> Tensor:
        return (self.squares * self.inverse).sum(dim=1) / self.of.sizes.sum(dim=1)

    def nc4(self) -> Tensor:
        share = self.differing / self.of.sizes.sum(dim=1)
        return share if len(self.of.labels) > 1 else torch.full_like(share, torch.nan)
