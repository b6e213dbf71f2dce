"""PuzzleMix (Kim, Choo, Song, ICML 2020, arXiv:2009.06962)."""

from math import comb, gcd, log
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow
from torch import Generator, Tensor

from benchmark import rng as draws
from benchmark.methods.base import Family, SaliencyMethod, interpolate_each, parameters

BLOCKS = (2, 4, 8, 16)  # along each side of an image; those that divide it are drawn from
CAPACITY = 2**28  # sum of all finite capacities of a graph; with the infinite ones, flows stay within int32
INFINITE = 2**30
EPS = 1e-8  # under the prior's logarithm, as in the official code

IntArray = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


class Energy(NamedTuple):
    """What a labelling of the blocks costs: sum of unary[l] + sum over neighbours of weight * (z - z')^2.

    Label l of L gives a block the share z = 1 - l / (L - 1) of its own image.

    Attributes:
        unary: (B, h, w, L).
        down: (B, h - 1, w), weights >= 0 between a block and the one below it.
        right: (B, h, w - 1), between a block and the one to its right.
    """

    unary: Tensor
    down: Tensor
    right: Tensor


@parameters
class PuzzleMix(SaliencyMethod):
    """x~ = z * Pi(x_i) + (1 - z) * Pi'(x_j): blockwise shares z by a minimum cut, blocks moved by a transport plan.

    With s the saliency of a block, each image's sum 1, and n blocks along a side, z minimises

        sum of (1 - z) s_i + z s_j + (eta / n^2) (-log p(z)) + beta / (16 n) (D + (z - z')^2) between neighbours

    where p is Binomial(L - 1, lam) of (L - 1) z, lam ~ Beta(alpha, alpha) once for each batch, and D gamma times the
    step in the pixels across the blocks' seam. Targets weigh mean z and 1 - mean z. n is drawn from 2, 4, 8 and 16.

    The official code minimises by alpha-beta swap; the energy being convex in z, here it is by one minimum cut, which
    is exact. That runs on the CPU, on block maps. Pixels there lie in [0, 1]; here they are divided by each channel's
    range in the batch. Blocks must divide an image: n is one of those numbers that do, 1 if none does. The official
    code trains on binary cross-entropy of softmax outputs and takes saliency in evaluation mode; here the loss is
    cross-entropy and the mode stays. Adversarial noise, off by default there, is left out.
    """

    title: ClassVar[str] = "PuzzleMix"
    paper: ClassVar[str] = "Kim, Choo, Song, ICML 2020, arXiv:2009.06962"
    year: ClassVar[int] = 2020
    family: ClassVar[Family] = "input mixing"
    cost: ClassVar[float] = 5 / 3

    alpha: Annotated[float, Field(ge=0.01, description="of Beta(alpha, alpha); 1 in the official command")] = 1.0
    labels: Annotated[int, Field(ge=2, le=8, description="L, levels of a block's share; 3 in the official code")] = 3
    beta: Annotated[float, Field(ge=0, description="smoothness of the shares; 1.2 in the official code")] = 1.2
    gamma: Annotated[float, Field(ge=0, le=1, description="smoothness of pixels; 0.5 in the official code")] = 0.5
    eta: Annotated[float, Field(ge=0, description="weight of the prior; 0.2 in the official code")] = 0.2
    seam: Annotated[int, Field(ge=1, description="pixels averaged along a seam; 4 in the official code")] = 4
    transport: Annotated[bool, Field(description="whether salient blocks move; true in the official code")] = True
    transport_size: Annotated[
        int, Field(ge=1, description="edge of what moves, pixels, or a block's if it divides none; 4 in the command")
    ] = 4
    transport_cost: Annotated[float, Field(ge=0, description="of moving across; 0.8 in the official code")] = 0.8

    def mix(self, images: Tensor, targets: Tensor, saliency: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        """Images put together of salient blocks, and targets weighted by the mean shares."""
        height, width = images.shape[2:]
        choices = [number for number in BLOCKS if height % number == width % number == 0] or [1]
        number = choices[int(torch.randint(len(choices), (), generator=rng))]
        lam = draws.beta(self.alpha, rng)
        order = draws.permutation(len(images), rng, images.device)
        shares = minimise(self.energy(images, saliency, order, number, lam)).to(images.dtype)
        first, second = images, images[order]
        if self.transport:
            edges = self._moved(height // number), self._moved(width // number)
            first = self._transported(first, shares, saliency, edges)
            second = self._transported(second, 1 - shares, saliency[order], edges)
        mask = _enlarged(shares, (height, width))
        return torch.lerp(second, first, mask[:, None]), interpolate_each(targets, order, shares.mean(dim=(1, 2)))

    def energy(self, images: Tensor, saliency: Tensor, order: Tensor, number: int, lam: float) -> Energy:
        """The energy of the shares of `number` x `number` blocks; of image order(i) is the rest 1 - z."""
        own = _block_saliency(saliency, (saliency.shape[1] // number, saliency.shape[2] // number))
        smoothness = self.beta / number / 16
        pixels = _unit_range(images)
        down = smoothness * self.gamma * _steps(pixels, order, number, self.seam)
        right = smoothness * self.gamma * _steps(pixels.mT, order, number, self.seam).mT
        other = own[order]  # what z = 1 loses; z = 0 loses `own`
        keep, give = other + _endpoint_costs(down, right, 1), own + _endpoint_costs(down, right, 0)
        share = torch.linspace(1, 0, self.labels, dtype=own.dtype, device=own.device)
        prior = torch.tensor(self._prior(lam), dtype=own.dtype, device=own.device) * (self.eta / number**2)
        unary = share * keep[..., None] + (1 - share) * give[..., None] + prior
        return Energy(unary, smoothness + _coupling(down), smoothness + _coupling(right))

    def _prior(self, lam: float) -> list[float]:
        """-log of the binomial chances of the labels."""
        most = self.labels - 1
        chances = [comb(most, label) * lam ** (most - label) * (1 - lam) ** label for label in range(self.labels)]
        return [-log(chance + EPS) for chance in chances]

    def _moved(self, block: int) -> int:
        """Edge of what is moved within the grid of blocks of an edge."""
        return self.transport_size if block % self.transport_size == 0 else block

    def _transported(self, images: Tensor, shares: Tensor, saliency: Tensor, edges: tuple[int, int]) -> Tensor:
        """Images with their salient blocks of `edges` pixels moved to where the shares are above 0."""
        salient = _block_saliency(saliency, edges)
        wanted = _enlarged(shares, (salient.shape[1], salient.shape[2])) > 0
        return move_blocks(images, transport_plan(salient, wanted, self.transport_cost), edges)


def minimise(energy: Energy) -> Tensor:
    """The shares z of least energy, (B, h, w) float32, exact but for rounding costs to integers.

    One minimum cut for all images. A block's label l is written as L - 1 bits x_k = [l >= k], x_1 >= x_2 >= ..., nodes
    that lie on the source's side where they are 1. Neighbours' (l - l')^2 is the number of their bit pairs that
    differ in either direction, plus l^2 - (L - 1) l for each (Ishikawa, PAMI 2003).
    """
    most = energy.unary.shape[-1] - 1
    down, right = (weight.double().cpu().numpy() / most**2 for weight in energy[1:])
    label = np.arange(most + 1)
    degree = np.zeros(energy.unary.shape[:3])
    for whole, weight in ((degree, down), (degree.swapaxes(1, 2), right.swapaxes(1, 2))):
        whole[:, :-1] += weight
        whole[:, 1:] += weight
    unary = energy.unary.double().cpu().numpy() + degree[..., None] * (label**2 - most * label)
    labels = _least_cut(np.diff(unary), down, right)
    return (1 - torch.from_numpy(labels) / most).to(energy.unary.device, torch.float32, non_blocking=True)


def _least_cut(steps: np.ndarray, down: np.ndarray, right: np.ndarray) -> IntArray:
    """Labels of the least cut; steps (B, h, w, L - 1) are what each bit costs, down and right what differing ones."""
    nodes = np.arange(steps.size).reshape(steps.shape)
    source, sink = steps.size, steps.size + 1
    bits = steps.shape[-1]
    scale = CAPACITY / max(abs(steps).sum() + 2 * bits**2 * (down.sum() + right.sum()), EPS)
    arcs = [
        (np.where(steps > 0, nodes, source), np.where(steps > 0, sink, nodes), abs(steps) * scale),
        (nodes[..., 1:], nodes[..., :-1], np.full(nodes[..., 1:].shape, INFINITE)),
    ]
    for one, two, weight in ((nodes[:, :-1], nodes[:, 1:], down), (nodes[:, :, :-1], nodes[:, :, 1:], right)):
        ends = np.broadcast_arrays(one[..., :, None], two[..., None, :], weight[..., None, None] * scale)
        arcs += [(ends[0], ends[1], ends[2]), (ends[1], ends[0], ends[2])]
    tails, heads, capacities = (np.concatenate([part.ravel() for part in parts]) for parts in zip(*arcs, strict=True))
    graph = csr_array((np.rint(capacities).astype(np.int32), (tails, heads)), shape=(sink + 1, sink + 1))
    residual = graph - maximum_flow(graph, source, sink).flow
    residual.eliminate_zeros()
    ones = np.zeros(sink + 1, dtype=np.int64)
    ones[breadth_first_order(residual, source, return_predecessors=False)] = 1
    labels: IntArray = ones[:source].reshape(steps.shape).sum(axis=-1)
    return labels


def transport_plan(salient: Tensor, wanted: Tensor, cost: float) -> Tensor:
    """Which block comes to each place: blocks bid for the places they like best, and the best bid holds a place.

    Block i at place j costs cost * distance(i, j)^2 - salient_i * wanted_j, the longer side being 1 long. In each
    round all blocks bid for their cheapest place, the cheapest bid wins, and a loser's cost of that place grows by 1;
    at most as many rounds as the longer side has blocks, and none once no bid below 0 is lost, as bids above never win
    a wanted place (the paper's masked transport). A place that nobody holds keeps its own block.

    Args:
        salient: (B, h, w), >= 0.
        wanted: (B, h, w) bool.
        cost: of crossing the image.

    Returns:
        (B, h * w) int64, places numbered row by row.
    """
    height, width = salient.shape[1:]
    gain = salient.flatten(1)[:, :, None] * wanted.flatten(1)[:, None, :]
    costs = cost * _squared_distances(height, width, salient.device).to(salient.dtype) - gain
    places = torch.arange(height * width, device=salient.device).expand(len(salient), -1)
    plan = places
    for _ in range(max(height, width)):
        bid, place = costs.min(dim=2)  # (B, h * w)
        best = torch.full_like(bid, torch.inf).scatter_reduce(1, place, bid, "amin")
        rival = torch.where(bid == best.gather(1, place), places, places.shape[1])
        winner = torch.full_like(places, places.shape[1]).scatter_reduce(1, place, rival, "amin")  # first of equals
        lost = winner.gather(1, place) != places
        costs.scatter_add_(2, place[..., None], lost[..., None].to(costs.dtype))
        plan = torch.where(winner < places.shape[1], winner, places)
        if not (lost & (bid < 0)).any():  # waits for the device; the cut before has done so anyway
            break
    return plan


def _squared_distances(height: int, width: int, device: torch.device) -> Tensor:
    """(h * w, h * w) between places of a grid, in units of its longer side."""
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    places: Tensor = torch.cartesian_prod(rows, columns)
    offsets: Tensor = (places[:, None] - places[None]) / max(height - 1, width - 1, 1)
    return offsets.square().sum(dim=2)


def move_blocks(images: Tensor, plan: Tensor, edges: tuple[int, int]) -> Tensor:
    """Images (B, C, H, W) put together anew: at each place the block that the plan (B, n) names for it."""
    rows, columns = images.shape[2] // edges[0], images.shape[3] // edges[1]
    blocks = images.unflatten(3, (columns, edges[1])).unflatten(2, (rows, edges[0]))  # (B, C, rows, h, columns, w)
    blocks = blocks.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)  # (B, n, C, h, w)
    image = torch.arange(len(images), device=images.device)[:, None]
    moved: Tensor = blocks[image, plan].unflatten(1, (rows, columns))
    return moved.permute(0, 3, 1, 4, 2, 5).reshape(images.shape)


def _block_saliency(saliency: Tensor, edges: tuple[int, int]) -> Tensor:
    """Saliency of blocks of `edges` pixels, each image's sum 1 (0 if it has none): (B, H, W) -> (B, h, w)."""
    pooled = F.avg_pool2d(saliency[:, None], edges)[:, 0]
    return pooled / pooled.sum(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(pooled.dtype).tiny)


def _unit_range(images: Tensor) -> Tensor:
    """Images over each channel's range in the batch, which is 1 / std where black and white occur."""
    extent = images.amax(dim=(0, 2, 3), keepdim=True) - images.amin(dim=(0, 2, 3), keepdim=True)
    return images / extent.clamp(min=torch.finfo(images.dtype).tiny)


def _steps(pixels: Tensor, order: Tensor, number: int, seam: int) -> Tensor:
    """Mean absolute steps across the seams between blocks one above the other, for all four ways to fill the two.

    Returns:
        (2, 2, B, number - 1, number); the first index is of the upper block, the second of the lower one: 1 is filled
        from image i, 0 from image order(i).
    """
    height, width = (size // number for size in pixels.shape[2:])
    cells = F.avg_pool2d(pixels, (gcd(height, seam), gcd(width, seam)))
    every, across = height // gcd(height, seam), width // gcd(width, seam)  # cells of a block
    upper, lower = cells[:, :, every - 1 : -1 : every], cells[:, :, every::every]

    def step(above: Tensor, below: Tensor) -> Tensor:
        gaps: Tensor = (above - below).abs().mean(dim=1).unflatten(2, (number, across))
        return gaps.mean(dim=3)

    alike = step(upper, lower)
    filled = alike[order], step(upper[order], lower), step(upper, lower[order]), alike
    return torch.stack(filled).reshape(2, 2, *alike.shape)


def _coupling(steps: Tensor) -> Tensor:
    """What two blocks filled from different images cost more than two from the same, on average."""
    return (steps[1, 0] + steps[0, 1] - steps[1, 1] - steps[0, 0]) / 2


def _endpoint_costs(down: Tensor, right: Tensor, filled: int) -> Tensor:
    """What filling a block from one image costs at its four seams, the other sides' fillings averaged; (B, h, w)."""
    above, below = down[filled].mean(dim=0), down[:, filled].mean(dim=0)
    left, beside = right[filled].mean(dim=0), right[:, filled].mean(dim=0)
    return F.pad(above, (0, 0, 0, 1)) + F.pad(below, (0, 0, 1, 0)) + F.pad(left, (0, 1)) + F.pad(beside, (1, 0))


def _enlarged(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Each block repeated to fill a larger grid, (B, h, w) -> (B, *size)."""
    return F.interpolate(maps[:, None], size=size)[:, 0]
