"""One cell on several processes, as torchrun starts them, with the numbers of one process up to the order of sums.

Every process draws the same crops, mixes the same whole batch and computes the same head and loss: that is
*replicated*. The backbone, which is nearly all the work, is *shared out*: each process runs its rows of the batch.
`share` leads from the first kind to the second and `gather` back, and the gradients the other way, so that what is
replicated has replicated gradients. A method therefore sees the whole batch, whatever it mixes or contrasts, and knows
nothing of processes. `sum_gradients` makes the weights' gradients whole, `synchronised_norms` the statistics of
BatchNorm.

The first process leads: it runs the sweep, and calls the others to every training with `announce`; they wait with
`await_order`.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn
from torch.overrides import TorchFunctionMode

from benchmark.errors import InputError

PATIENCE = timedelta(hours=12)  # of processes that wait while the first one scores; torchrun ends them if it dies


def launched() -> bool:
    """Whether torchrun has started this process along with others."""
    return distributed.is_available() and distributed.is_torchelastic_launched() and int(os.environ["WORLD_SIZE"]) > 1


def join(name: str) -> torch.device:
    """Enter the group of processes: nccl between GPUs, gloo between processors.

    Args:
        name: `auto` (a GPU each if there are any), `cuda` or `cpu`.

    Returns:
        The device of this process.

    Raises:
        InputError: for another name, or fewer GPUs than processes on this machine.
    """
    if name not in ("auto", "cuda", "cpu"):
        raise InputError(f"--device {name}: under torchrun every process has a GPU of its own; use auto, cuda or cpu")
    own, wanted = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    found = torch.cuda.device_count()
    if name == "cpu" or (name == "auto" and not found):
        distributed.init_process_group("gloo", timeout=PATIENCE)
        return torch.device("cpu")
    if found < wanted:
        raise InputError(
            f"{wanted} processes on this machine and {found} GPUs; use --nproc-per-node={found or 1} or --device cpu"
        )
    device = torch.device("cuda", own)
    torch.cuda.set_device(device)
    distributed.init_process_group("cpu:gloo,cuda:nccl", timeout=PATIENCE, device_id=device)
    return device


def size() -> int:
    """How many processes share the work; 1 outside torchrun."""
    return distributed.get_world_size() if _active() else 1


def rank() -> int:
    """Place of this process among them; the first, 0, leads."""
    return distributed.get_rank() if _active() else 0


def announce(order: str) -> None:
    """The leader's word to the other processes; nothing where there is none."""
    if _active():
        _exchanged(order)


def await_order() -> str:
    """What the leader announces next; nothing when it is done.

    Raises:
        SystemExit: if the leader has gone; it has said why.
    """
    try:
        return _exchanged("")
    except RuntimeError:
        raise SystemExit(1) from None


@contextmanager
def leading() -> Iterator[None]:
    """Around a sweep in the first process: the others begin once it is planned, and end with it."""
    announce("planned")
    yield
    announce("")
    leave()


def leave() -> None:
    """End the group; nothing where there is none."""
    if _active():
        distributed.destroy_process_group()


@contextmanager
def in_step() -> Iterator[None]:
    """Around what all processes do together: an exception that only one of them may have met ends them all.

    Otherwise the rest would wait for it. A loss that is not finite and an input that is refused are met by all alike.

    Raises:
        SystemExit: for any other exception, where there are several processes.
    """
    try:
        yield
    except (FloatingPointError, InputError):
        raise
    except Exception as error:
        if not _active():
            raise
        problem = f"process {rank()} of {size()}: {type(error).__name__}: {error}"
        raise SystemExit(f"{problem}\nAll processes stop; the same command goes on from there.") from error


def share(whole: Tensor) -> Tensor:
    """This process's rows of a replicated tensor (N, ...), N a multiple of the number of processes: (N / size, ...)."""
    rows: Tensor = _Share.apply(whole)
    return rows


def gather(rows: Tensor) -> Tensor:
    """The replicated tensor (N, ...) of which every process has its rows (N / size, ...)."""
    whole: Tensor = _Gather.apply(rows)
    return whole


def padded(whole: Tensor) -> Tensor:
    """A tensor (N, ...) whose last row is repeated until N is a multiple of the number of processes."""
    missing = -len(whole) % size()
    return torch.cat([whole, whole[-1:].expand(missing, *whole.shape[1:])]) if missing else whole


def sum_gradients(parameters: Iterable[nn.Parameter], replicated: Iterable[nn.Parameter]) -> None:
    """Make gradients whole, and bitwise equal in all processes: sums, of replicated parameters means."""
    whole = [parameter.grad for parameter in replicated if parameter.grad is not None]
    torch._foreach_div_(whole, size())
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])  # one message rather than one for each
    distributed.all_reduce(flat)
    pieces = flat.split([gradient.numel() for gradient in gradients])
    torch._foreach_copy_(gradients, [piece.view(g.shape) for piece, g in zip(pieces, gradients, strict=True)])


def with_synchronised_norms(model: nn.Module, device: torch.device) -> nn.Module:
    """The model with torch's BatchNorm over all processes, which is for GPUs; on a CPU `synchronised_norms` serves."""
    if device.type == "cpu":
        return model
    from timm.layers import convert_sync_batchnorm  # type: ignore[attr-defined]

    synchronised: nn.Module = convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    return synchronised


def synchronised_norms(device: torch.device) -> AbstractContextManager[object]:
    """Context in which BatchNorm on a CPU normalises by the rows of all processes."""
    return _SynchronisedNorms() if device.type == "cpu" else nullcontext()


def _active() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _exchanged(order: str) -> str:
    """The leader's order in all processes."""
    found = [order]
    distributed.broadcast_object_list(found, src=0, device=torch.device("cpu"))
    return found[0]


class _Share(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, whole: Tensor) -> Tensor:
        return _own(whole).clone()  # what follows may work in place

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _gathered(gradients[0])


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        return _gathered(rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _own(gradients[0])


class _Sum(torch.autograd.Function):
    """Sum over processes of what each has its part of; so is the gradient."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        return _summed(part)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _summed(gradients[0])


def _own(whole: Tensor) -> Tensor:
    if len(whole) % size():
        raise ValueError(f"{len(whole)} images cannot be shared out evenly to {size()} processes")
    count = len(whole) // size()
    return whole.narrow(0, rank() * count, count)


def _gathered(rows: Tensor) -> Tensor:
    """Rows of all processes, in the memory layout of these."""
    channels_last = rows.ndim == 4 and rows.is_contiguous(memory_format=torch.channels_last)
    rows = (rows.permute(0, 2, 3, 1) if channels_last else rows).contiguous()
    whole = rows.new_empty((len(rows) * size(), *rows.shape[1:]))
    distributed.all_gather_into_tensor(whole, rows)
    return whole.permute(0, 3, 1, 2) if channels_last else whole


def _summed(part: Tensor) -> Tensor:
    total = part.contiguous().clone()
    distributed.all_reduce(total)
    return total


class _SynchronisedNorms(TorchFunctionMode):
    """Takes the place of `F.batch_norm` in training, which is what all BatchNorm layers call."""

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.batch_norm:
            return _batch_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _batch_norm(  # noqa: PLR0913, the arguments of F.batch_norm
    images: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`F.batch_norm` by mean and variance over all processes, which hold equally many rows; (B, C, ...)."""
    if not training:
        known: Tensor = F.batch_norm(images, running_mean, running_var, weight, bias, False, momentum, eps)
        return known
    dims = [dim for dim in range(images.ndim) if dim != 1]
    count = images.numel() // images.shape[1] * size()
    values = images.float() if images.dtype in (torch.bfloat16, torch.float16) else images
    mean = _Sum.apply(values.sum(dims, keepdim=True)) / count
    centred = values - mean
    variance = _Sum.apply(centred.square().sum(dims, keepdim=True)) / count
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean.flatten().to(running_mean.dtype), momentum)
            running_var.lerp_((variance.flatten() * (count / (count - 1))).to(running_var.dtype), momentum)
    normal = centred * (variance + eps).rsqrt()
    if weight is not None and bias is not None:
        shape = [-1 if dim == 1 else 1 for dim in range(images.ndim)]
        normal = torch.addcmul(bias.view(shape), normal, weight.view(shape))
    result: Tensor = normal.to(images.dtype)
    return result
