"""torch.compile on request: the backbone as one graph, after a check that it computes what it did before.

The graph serves training batches that pass from the images to the features undisturbed. Batches that a method mixes at
a hidden stage, or of which it reads attention or stages, run the backbone as it is, and so does all evaluation.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark import distributed
from benchmark.backbones import Network
from benchmark.errors import InputError

# Of loss and gradient, by the type that is computed in: the norm of the difference over the norm. Kernels that are
# fused round at other places; where bf16 rounds is worth a few per cent of the gradient in either.
TOLERANCES: Mapping[torch.dtype | None, tuple[float, float]] = {None: (1e-4, 1e-3), torch.bfloat16: (1e-2, 0.1)}


def require(device: torch.device) -> None:
    """Nothing if a function can be compiled for the device.

    Raises:
        InputError: saying what is missing, or that several processes train.
    """
    if distributed.size() > 1:
        raise InputError("--compile is for one process; leave it out, or start without torchrun")
    try:
        torch.compile(torch.sin)(torch.zeros(8, device=device))
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"--compile found no working compiler ({reason}); install g++ (on a GPU Triton too) or leave --compile out"
        ) from error


def compile_backbone(network: Network, images: Tensor, labels: Tensor, autocast: torch.dtype | None) -> None:
    """Compile the backbone, if loss and gradient of a batch stay what they were.

    Args:
        network: on its device; its weights, statistics and gradients are left as they were.
        images: (B, C, H, W) float, normalised.
        labels: (B,) int64 in [0, K).
        autocast: type to compute in; None for fp32.

    Raises:
        InputError: if the model cannot be made one graph, or if its loss or gradient moves by more than TOLERANCES.
    """
    state = {name: value.clone() for name, value in network.state_dict().items()}
    expected = _loss_and_gradients(network, images, labels, autocast)
    network.load_state_dict(state)
    # One graph, so that nothing is left out without a word; dropout draws what it draws without being compiled.
    network.compiled = torch.compile(network.run, fullgraph=True, dynamic=False, options={"fallback_random": True})
    try:
        found = _loss_and_gradients(network, images, labels, autocast)
    except torch._dynamo.exc.TorchDynamoException as error:
        reason = str(error).strip().split("\n")[0]
        raise InputError(f"--compile: this backbone cannot be compiled ({reason}); leave --compile out") from error
    network.load_state_dict(state)
    for name, tolerance, before, after in zip(("loss", "gradient"), TOLERANCES[autocast], expected, found, strict=True):
        moved = _distance(before, after)
        if not moved <= tolerance:
            raise InputError(
                f"--compile: the compiled {name} of a batch differs by {moved:.2g} of its norm, more than "
                f"{tolerance:g}; leave --compile out"
            )


def _loss_and_gradients(
    network: Network, images: Tensor, labels: Tensor, autocast: torch.dtype | None
) -> tuple[list[Tensor], list[Tensor]]:
    """Of plain cross-entropy in training mode; the global random state is left as it was."""
    parameters = [parameter for name, parameter in network.named_parameters() if not name.startswith("auxiliary.")]
    was_training = network.training
    network.train()
    with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
        torch.manual_seed(0)
        with torch.autocast(images.device.type, autocast, enabled=autocast is not None):
            loss = F.cross_entropy(network(images), labels)
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    network.train(was_training)
    return [loss.detach()], [gradient for gradient in gradients if gradient is not None]


def _distance(before: Sequence[Tensor], after: Sequence[Tensor]) -> float:
    """Norm of the difference over the norm; 0 where both are 0."""
    pairs = list(zip(before, after, strict=True))
    moved = torch.stack([(one - other).double().square().sum() for one, other in pairs]).sum().sqrt()
    norm = torch.stack([one.double().square().sum() for one, _ in pairs]).sum().sqrt()
    return float(moved / norm) if norm else float(moved)
