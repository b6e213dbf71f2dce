"""Full fine-tuning: the whole network trained on fine labels for a fixed budget, the same for every method.

The budget is EPOCHS epochs of plain cross-entropy at LR_SHARE of the pretraining recipe's peak learning rate, cosine to
zero, with its batch size, optimiser and crops; a fresh head, no warm-up, nothing selected: the last epoch counts.
"""

import dataclasses

import torch
from torch import Tensor

from benchmark import backbones
from benchmark.backbones import Network
from benchmark.checkpoint import Keeper, Unkept
from benchmark.data import policy
from benchmark.methods.baseline import Baseline
from benchmark.pretrain import Silent, Streams, forward_in_batches, pretrain
from benchmark.schema import CoarseSplit, Data, Recipe

EPOCHS = 10
LR_SHARE = 0.1


def predict(
    network: Network,
    data: Data,
    recipe: Recipe,
    streams: Streams,
    seed: int,
    device: torch.device,
    keeper: Keeper = Unkept(),  # noqa: B008, it has no state
) -> Tensor:
    """Fine classes of the test images by the fine-tuned network, (N,) int64 on the CPU.

    Args:
        network: pretrained; left as it is.
        data: fine labels; train is trained on, val is only watched.
        recipe: of the pretraining.
        streams: all randomness of the training.
        seed: of the new head.
        device: where to train.
        keeper: of the training's state.

    Raises:
        FloatingPointError: if training diverges.
        Stop: if the keeper was told to stop.
    """
    tuned = backbones.with_new_head(network, len(data.shots), seed)
    budget = dataclasses.replace(recipe, epochs=EPOCHS, lr=LR_SHARE * recipe.lr, warmup_epochs=0.0, schedule="cosine")
    train, val = (CoarseSplit(split.images, split.labels) for split in (data.train, data.val))
    pretrain(tuned, Baseline(), budget, (train, val), streams, device, Silent(), keeper=keeper)
    mean, std = (stat.to(device) for stat in policy.channel_statistics(data.train.images))
    logits = forward_in_batches(tuned, tuned.forward, data.test.images, mean, std)
    return logits.argmax(dim=1).cpu()
