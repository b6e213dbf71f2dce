"""Few-shot episodes: fine classes from 1, 5 or 10 training images each, by the nearest class mean.

Every episode draws its ways (fine classes), its support images from train and its queries from test, and answers each
query with the way whose renormalised mean of unit support features is nearest in angle. Ways are 5 fine classes, all
of them, or those of one superclass, which is where collapse within a superclass shows (Bukchin et al., CVPR 2021).
What is drawn depends on labels and generator alone, so methods of a comparison meet the same episodes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

EPISODES = 600
QUERIES = 15  # of each way; all test images of a class that has fewer
SHOTS = (1, 5, 10)
WAYS = 5
SETTINGS = tuple(f"{kind}_{shots}shot" for kind in (f"{WAYS}way", "allway", "intra") for shots in SHOTS)
_ENTRIES = 2**24  # gathered feature values at a time
_HIGH = 2**62

Split = tuple[Tensor, Tensor]  # features (N, D) float32, fine labels (N,) int64


@dataclass(frozen=True)
class _Batch:
    """Episodes of equally many ways."""

    coarse: Tensor  # (E, W) int64, superclasses of the ways
    support: Tensor  # (E, W, S) int64, places in train
    queries: Tensor  # (E, W, Q) int64, places in test; -1 where a class has fewer


def run(
    train: Split, test: Split, to_coarse: Tensor, rng: Generator, settings: Sequence[str] = SETTINGS
) -> dict[str, Tensor]:
    """How many queries of each superclass are asked and answered right in each episode, in every setting.

    A class can be a way if it has as many training images as the setting has shots, and a test image. All-way episodes
    need that of every class with test images, those within a superclass of every such class in it: with some left out
    the question would be an easier one. The superclasses get equally many episodes each: EPISODES, or the next multiple
    of their number.

    Args:
        train: supports are drawn from it, without replacement.
        test: queries are drawn from it, without replacement.
        to_coarse: (F,) int64, coarse label of each fine one.
        rng: on the CPU.
        settings: of SETTINGS.

    Returns:
        for each setting (E, K, 2) int64 on the CPU: queries answered right, and queries. No episodes (0, K, 2) where
        too few classes can be ways.
    """
    supports, queries = (F.normalize(split[0], dim=1) for split in (train, test))
    places = _Places(train[1], len(to_coarse)), _Places(test[1], len(to_coarse))
    coarse, num_coarse = to_coarse.cpu(), int(to_coarse.max()) + 1
    answered = {}
    for setting in settings:
        kind, shots = setting.split("_")[0], int(setting.split("_")[1].removesuffix("shot"))
        tested, enough = places[1].sizes.nonzero().flatten(), places[0].sizes >= shots
        found = [torch.zeros(0, num_coarse, 2, dtype=torch.int64)]
        for ways in _ways(kind, tested, enough, coarse, rng):
            batch = _Batch(coarse[ways], places[0].draw(ways, shots, rng), places[1].draw(ways, QUERIES, rng))
            found.append(_answered(supports, queries, batch, num_coarse))
        answered[setting] = torch.cat(found)
    return answered


def _ways(kind: str, tested: Tensor, enough: Tensor, to_coarse: Tensor, rng: Generator) -> Iterator[Tensor]:
    """Ways (E, W) of a setting's episodes, in batches of equally many ways.

    Args:
        kind: of the setting.
        tested: classes with test images.
        enough: (F,) bool, classes with enough training images.
        to_coarse: (F,) int64.
        rng: on the CPU.
    """
    possible = tested[enough[tested]]
    if kind == "allway" and len(possible) == len(tested) >= 2:
        yield tested.expand(EPISODES, -1)
    elif kind == f"{WAYS}way" and len(possible) >= WAYS:
        yield possible[torch.rand(EPISODES, len(possible), generator=rng).argsort(dim=1)[:, :WAYS]]
    elif kind == "intra":
        siblings = {int(coarse): tested[to_coarse[tested] == coarse] for coarse in to_coarse[tested].unique()}
        siblings = {coarse: ways for coarse, ways in siblings.items() if len(ways) >= 2 and enough[ways].all()}
        for members in siblings.values():
            yield members.expand(-(-EPISODES // len(siblings)), -1)


class _Places:
    """Where the images of each class are."""

    def __init__(self, labels: Tensor, num_classes: int) -> None:
        labels = labels.cpu()
        self.order = labels.argsort(stable=True)
        self.sizes = labels.bincount(minlength=num_classes)  # (F,)
        self.first = self.sizes.cumsum(0) - self.sizes  # (F,)

    def draw(self, ways: Tensor, count: int, rng: Generator) -> Tensor:
        """Images of each way without replacement, (E, W, count); -1 in place of those that a class has not.

        Floyd's algorithm: the i-th draw is from the first n - count + i + 1 images, and the last of these stands in
        for an image drawn before.
        """
        sizes = self.sizes[ways]  # (E, W)
        drawn = torch.empty(*ways.shape, count, dtype=torch.int64)
        for i in range(count):
            last = sizes.clamp(min=count) - count + i
            new = torch.randint(_HIGH, ways.shape, generator=rng) % (last + 1)
            repeated = (drawn[..., :i] == new[..., None]).any(dim=-1)
            drawn[..., i] = torch.where(repeated, last, new)
        exists = drawn < sizes[..., None]
        return torch.where(exists, self.order[(self.first[ways][..., None] + drawn * exists)], -1)


def _answered(supports: Tensor, queries: Tensor, batch: _Batch, num_coarse: int) -> Tensor:
    """Queries of each superclass answered right, and all of them, in each episode: (E, K, 2) int64 on the CPU."""
    _, ways, num_queries = batch.queries.shape
    episodes = max(1, _ENTRIES // (ways * num_queries * queries.shape[1]))
    counts = []
    for support, asked in zip(batch.support.split(episodes), batch.queries.split(episodes), strict=True):
        support, asked = support.to(supports.device), asked.to(queries.device)
        means = F.embedding_bag(support.flatten(0, 1), supports, mode="mean").unflatten(0, support.shape[:2])
        query = queries[asked.clamp(min=0)].flatten(1, 2)  # (e, W Q, D)
        answers = (query @ F.normalize(means, dim=2).transpose(1, 2)).argmax(dim=2)  # (e, W Q)
        right = answers.unflatten(1, (ways, num_queries)) == torch.arange(ways, device=answers.device)[:, None]
        exists = asked >= 0
        counts.append(torch.stack([(right & exists).sum(dim=2), exists.sum(dim=2)], dim=2).cpu())
    of_ways = torch.cat(counts)  # (E, W, 2)
    zeros = of_ways.new_zeros(len(of_ways), num_coarse, 2)
    return zeros.scatter_add_(1, batch.coarse[..., None].expand_as(of_ways), of_ways)
