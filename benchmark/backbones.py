"""Any timm model as a Network: pooled features, a linear head, hidden stages."""

import copy
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark import distributed
from benchmark.errors import InputError, unknown
from benchmark.schema import Scalar
from benchmark.small_backbones import VARIANTS, Variant

MAX_STAGES = 4
Mix = Callable[[Tensor], Tensor]


class Network(nn.Module):
    """A timm model split where augmentation methods and probes need it; the model itself is not edited.

    Attributes:
        num_classes: K, outputs of the head.
        num_features: D, pooled features before the head.
        num_stages: hidden stages at which `features` can mix; at most 4, shallow to deep.
        auxiliary: trainable parts a method adds, e.g. a projection head; trained along, unseen by the probes.
        shared_out: whether each process of torchrun's runs the model on its rows of every batch; see `distributed`.
        compiled: `run` as torch.compile made it, for training batches that nothing inside looks at; see `compiling`.
    """

    auxiliary: nn.Module | None

    def __init__(self, model: nn.Module, num_classes: int, num_features: int) -> None:
        super().__init__()
        self.model = model
        self.num_classes = num_classes
        self.num_features = num_features
        self.auxiliary = None
        self.shared_out = False
        self.compiled: Callable[[Tensor], Tensor] | None = None
        self._stages = _stage_modules(model)

    @property
    def num_stages(self) -> int:
        """How many hidden stages there are."""
        return len(self._stages)

    def features(self, images: Tensor, stage: int | None = None, mix: Mix | None = None) -> Tensor:
        """Pooled features before the head, (B, D) float32, or float64 of float64 images.

        Args:
            images: (B, C, H, W) float, normalised.
            stage: hidden stage whose output is passed through `mix`, in [0, num_stages).
            mix: from the stage's output to a tensor of its shape; the batch is its first dimension. It may return
                a larger batch, e.g. clean and mixed ones together: what follows the stage sees that one.
        """
        if stage is None or mix is None:
            return self.compiled(images) if self.compiled and self.training else self._pooled(images)
        module = self.model.get_submodule(self._stages[stage])
        hook = module.register_forward_hook(lambda _module, _inputs, output: self._on_whole_batch(mix, output))
        try:
            return self._pooled(images)
        finally:
            hook.remove()

    def stage_features(self, images: Tensor) -> list[Tensor]:
        """Outputs of the hidden stages, shallow to deep, each averaged over positions: (B, D of the stage) float32.

        Of a ViT the mean is over patches; class and register tokens are left out.
        """
        found: list[Tensor] = []
        modules = [self.model.get_submodule(name) for name in self._stages]
        hooks = [
            module.register_forward_hook(lambda _module, _inputs, output: found.append(output)) for module in modules
        ]
        try:
            self._pooled(images)
        finally:
            for hook in hooks:
                hook.remove()
        means = [_at_least_float32(self.to_maps(output)).mean(dim=(2, 3)) for output in found]
        return [distributed.gather(mean)[: len(images)] for mean in means] if self.shared_out else means

    def classify(self, features: Tensor) -> Tensor:
        """Logits of the head, (B, D) -> (B, K) float32."""
        return _at_least_float32(cast(Tensor, self.head(features)))

    def forward(self, images: Tensor) -> Tensor:
        """Logits, (B, C, H, W) -> (B, K) float32."""
        return self.classify(self.features(images))

    @property
    def head(self) -> nn.Module:
        """The classifier module."""
        return cast(nn.Module, cast(Any, self.model).get_classifier())

    def replicated_parameters(self) -> list[nn.Parameter]:
        """Those outside the backbone, which every process of torchrun's applies to the whole batch."""
        return [*self.head.parameters(), *(self.auxiliary.parameters() if self.auxiliary else ())]

    def to_maps(self, hidden: Tensor) -> Tensor:
        """A stage's output as feature maps (B, C, h, w), whatever the family's own layout.

        Convolutional families hand out maps already; Swin's channels come forward; of a ViT's tokens the patches are
        laid on their grid and the prefix tokens (class, registers) left out.
        """
        if hidden.ndim == 4:
            return hidden.permute(0, 3, 1, 2) if self._channels_last else hidden
        prefix, grid = self._token_layout()
        patches: Tensor = hidden[:, prefix:].transpose(1, 2).unflatten(2, grid)
        return patches

    def from_maps(self, maps: Tensor, hidden: Tensor) -> Tensor:
        """Feature maps (B, C, h, w) in the layout of `hidden`, a stage's output; prefix tokens are taken from it."""
        if hidden.ndim == 4:
            return maps.permute(0, 2, 3, 1) if self._channels_last else maps
        prefix, _ = self._token_layout()
        return torch.cat([hidden[:, :prefix], maps.flatten(2).transpose(1, 2).to(hidden.dtype)], dim=1)

    @property
    def reads_class_token(self) -> bool:
        """Whether the head reads a class token and nothing else: patches that leave the last block are lost."""
        return getattr(self.model, "global_pool", None) == "token"

    @property
    def has_class_attention(self) -> bool:
        """Whether `features_and_attention` works: a ViT of plain attention whose head reads its class token."""
        from timm.models.vision_transformer import Attention, VisionTransformer  # type: ignore[attr-defined]

        model = self.model
        return (
            isinstance(model, VisionTransformer)
            and self.reads_class_token
            and isinstance(getattr(model.blocks[-1], "attn", None), Attention)
        )

    def features_and_attention(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled features (B, D) and the class token's attention over the patches in the last block, (B, h, w).

        The attention is the mean over heads, >= 0 with sum 1 over the patches (what goes to the class and register
        tokens is left out), float32 or float64, before attention dropout, and detached. It comes from the same
        forward pass, from the block's own queries and keys, since timm's fused attention hides its weights.
        """
        attention = cast(Any, self.model).blocks[-1].attn
        projected: list[Tensor] = []
        hook = attention.qkv.register_forward_hook(lambda _module, _inputs, output: projected.append(output.detach()))
        try:
            features = self._pooled(images)
        finally:
            hook.remove()
        prefix, grid = self._token_layout()
        weights = _class_attention(attention, projected[0])[:, prefix:]
        if self.shared_out:
            weights = distributed.gather(weights)[: len(images)]
        return features, F.normalize(weights, p=1, dim=1).unflatten(1, grid)

    @property
    def _channels_last(self) -> bool:
        return getattr(self.model, "output_fmt", "NCHW") == "NHWC"

    def _token_layout(self) -> tuple[int, tuple[int, int]]:
        """Number of prefix tokens, and rows and columns of patches."""
        model = cast(Any, self.model)
        return model.num_prefix_tokens, tuple(model.patch_embed.grid_size)

    def _pooled(self, images: Tensor) -> Tensor:
        if not self.shared_out:
            return self.run(images)
        if self.training:  # a row more would change BatchNorm's statistics, so batches are divisible
            with distributed.synchronised_norms(images.device):
                return distributed.gather(self.run(distributed.share(images)))
        return distributed.gather(self.run(distributed.share(distributed.padded(images))))[: len(images)]

    def run(self, images: Tensor) -> Tensor:
        """Pooled features of these images by this process."""
        model = cast(Any, self.model)
        return _at_least_float32(cast(Tensor, model.forward_head(model.forward_features(images), pre_logits=True)))

    def _on_whole_batch(self, mix: Mix, rows: Tensor) -> Tensor:
        """A stage's output after `mix`, which sees the rows of all processes."""
        return distributed.share(mix(distributed.gather(rows))) if self.shared_out else mix(rows)


def _at_least_float32(values: Tensor) -> Tensor:
    """Half precision becomes float32; float64 stays."""
    return values if values.dtype == torch.float64 else values.float()


@torch.no_grad()
def _class_attention(attention: Any, projected: Tensor) -> Tensor:
    """Weights of the first token's query over all tokens, mean over heads: (B, N, 3 * D) of `qkv` -> (B, N)."""
    split = _at_least_float32(projected).unflatten(2, (3, attention.num_heads, -1))
    with torch.autocast(projected.device.type, enabled=False):
        query = attention.q_norm(split[:, 0, 0])  # (B, heads, d)
        key = attention.k_norm(split[:, :, 1])  # (B, N, heads, d)
        logits = torch.einsum("bhd,bnhd->bhn", query * attention.scale, key)
    return logits.softmax(dim=2).mean(dim=1)


def _stage_modules(model: nn.Module) -> tuple[str, ...]:
    """Names of up to four stages, from timm's own list of feature levels.

    Families with resolutions (ResNet, ConvNeXt, Swin, MobileNet) give their last four levels, which leaves the
    stem out; those of one resolution (ViT) give blocks at the quarters of their depth.
    """
    levels = [info["module"] for info in getattr(model, "feature_info", [])]
    reductions = {info.get("reduction") for info in getattr(model, "feature_info", [])}
    known = dict(model.named_modules())
    levels = [name for name in levels if name in known]
    if len(reductions) == 1 and len(levels) > MAX_STAGES:
        return tuple(levels[len(levels) * quarter // MAX_STAGES - 1] for quarter in range(1, MAX_STAGES + 1))
    return tuple(levels[-MAX_STAGES:])


@lru_cache(maxsize=1)
def timm_names() -> frozenset[str]:
    """Every model name timm can build."""
    import timm

    return frozenset(timm.list_models())


def check(name: str) -> None:
    """Raise InputError with the nearest name unless `name` is a variant or a timm model."""
    if name not in VARIANTS and name not in timm_names():
        raise unknown(
            "backbone",
            name,
            [*VARIANTS, *timm_names()],
            "See `c2f list backbones`; any timm model name works.",
        )


def build(
    name: str, args: Mapping[str, Scalar], num_classes: int, channels: int, image_size: int, seed: int
) -> Network:
    """A freshly initialised network.

    Args:
        name: a key of VARIANTS or any timm model.
        args: extra arguments of timm's constructor; `pretrained: true` loads timm's weights (and their labels).
        num_classes: K coarse classes.
        channels: C of the images.
        image_size: edge of the images, pixels.
        seed: of the weights; the global random state is left as it was.

    Raises:
        InputError: for an unknown name, arguments timm refuses, or a model that cannot take such images.
    """
    check(name)
    variant = VARIANTS.get(name)
    if variant and args.get("pretrained"):
        raise InputError(f"{name}: no published weights for a changed stem; take the timm model itself")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = _create(variant, name, args, num_classes, channels, image_size)
            num_features = _probe(model, num_classes, channels, image_size)
        except InputError:
            raise
        except Exception as error:
            given = ", ".join(f"{k}={v}" for k, v in args.items())
            first = str(error).strip().split("\n")[0]
            raise InputError(
                f"backbone {name}{f' ({given})' * bool(given)} cannot be built for {channels} x {image_size} x "
                f"{image_size} images ({type(error).__name__}: {first}); choose another, see `c2f list backbones`"
            ) from error
    return Network(model, num_classes, num_features)


def with_new_head(network: Network, num_classes: int, seed: int) -> Network:
    """A copy of a network with a freshly initialised head for other classes; the network itself is left as it is."""
    model = copy.deepcopy(network.model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        cast(Any, model).reset_classifier(num_classes)
    return Network(model, num_classes, network.num_features)


def _create(
    variant: Variant | None,
    name: str,
    args: Mapping[str, Scalar],
    num_classes: int,
    channels: int,
    image_size: int,
) -> nn.Module:
    import timm

    arguments: dict[str, Any] = {"num_classes": num_classes, "in_chans": channels}
    if variant:
        arguments |= variant.arguments
        if variant.sized:
            arguments["img_size"] = image_size
    model: nn.Module = timm.create_model(variant.timm_name if variant else name, **(arguments | dict(args)))
    if variant and variant.stem:
        variant.stem(model)
    return model


def _probe(model: nn.Module, num_classes: int, channels: int, image_size: int) -> int:
    """D, after checking on two blank images that features and head have the shapes the contract promises."""
    network = Network(model.eval(), num_classes, 0)
    with torch.no_grad():
        features = network.features(torch.zeros(2, channels, image_size, image_size))
        logits = network.classify(features)
    if features.ndim != 2 or logits.shape != (2, num_classes):
        raise ValueError(f"features {tuple(features.shape)}, logits {tuple(logits.shape)}")
    model.train()
    return features.shape[1]


def draws_at_random(network: Network, channels: int, image_size: int) -> bool:
    """Whether training draws random numbers inside the backbone: dropout, stochastic depth."""
    trained = copy.deepcopy(network).train()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        before = torch.get_rng_state()
        trained.features(torch.zeros(2, channels, image_size, image_size))
        return not torch.equal(before, torch.get_rng_state())


def initial_labels(name: str, args: Mapping[str, Scalar]) -> str:
    """Labels the initial weights have seen: "none" from scratch, else the tag of timm's weights."""
    if not args.get("pretrained"):
        return "none"
    import timm

    config = timm.get_pretrained_cfg(name)
    return str(config.tag if config and config.tag else "unknown")
