"""Backbones for small images by name: a timm model, its arguments, and the stem it gets. Listed without torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Variant:
    """A named small-image backbone: a timm model, its arguments, and the stem it gets."""

    title: str
    timm_name: str
    arguments: Mapping[str, Any]
    stem: Callable[["nn.Module"], None] | None = None
    sized: bool = False  # takes img_size


def _resnet_stem(model: "nn.Module") -> None:
    """3 x 3 stride-1 convolution, no max-pool: the CIFAR stem."""
    from torch import nn

    net = cast(Any, model)
    first = net.conv1 if isinstance(net.conv1, nn.Conv2d) else net.conv1[0]
    width = net.bn1.num_features
    net.conv1 = nn.Conv2d(first.in_channels, width, 3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
    net.maxpool = nn.Identity()


def _mobilenet_stem(model: "nn.Module") -> None:
    """The stem at stride 1."""
    cast(Any, model).conv_stem.stride = (1, 1)


VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "resnet18-small": Variant(
            "ResNet-18, 3x3 stride-1 stem, no max-pool", "resnet18", MappingProxyType({}), _resnet_stem
        ),
        "resnet18-thin": Variant(
            "resnet18-small with widths 16-32-64-128; the CPU default",
            "resnet18",
            # A deep stem is asked for because only then does timm make its width a parameter; it is replaced.
            MappingProxyType({"channels": (16, 32, 64, 128), "stem_type": "deep", "stem_width": 8}),
            _resnet_stem,
        ),
        "resnet34-small": Variant(
            "ResNet-34, 3x3 stride-1 stem, no max-pool", "resnet34", MappingProxyType({}), _resnet_stem
        ),
        "resnet50-small": Variant(
            "ResNet-50, 3x3 stride-1 stem, no max-pool", "resnet50", MappingProxyType({}), _resnet_stem
        ),
        "convnext-atto-p1": Variant(
            "ConvNeXt-Atto, patch 1 (for 8 to 16 px)", "convnext_atto", MappingProxyType({"patch_size": 1})
        ),
        "convnext-atto-p2": Variant(
            "ConvNeXt-Atto, patch 2 (for 32 px)", "convnext_atto", MappingProxyType({"patch_size": 2})
        ),
        "vit-thin-p2": Variant(
            "ViT of 4 blocks, width 64, 4 heads, patch 2 (for 8 to 16 px on a CPU)",
            "vit_tiny_patch16_224",
            MappingProxyType({"patch_size": 2, "embed_dim": 64, "depth": 4, "num_heads": 4}),
            sized=True,
        ),
        "vit-tiny-p2": Variant(
            "ViT-Tiny, patch 2 (for 8 to 16 px)",
            "vit_tiny_patch16_224",
            MappingProxyType({"patch_size": 2}),
            sized=True,
        ),
        "vit-tiny-p4": Variant(
            "ViT-Tiny, patch 4 (for 28 to 64 px)",
            "vit_tiny_patch16_224",
            MappingProxyType({"patch_size": 4}),
            sized=True,
        ),
        "swin-tiny-p2": Variant(
            "Swin-Tiny, patch 2, window 4 (for 32 px)",
            "swin_tiny_patch4_window7_224",
            MappingProxyType({"patch_size": 2, "window_size": 4}),
            sized=True,
        ),
        "mobilenetv3-small-s1": Variant(
            "MobileNetV3-Small 0.5, stem at stride 1",
            "mobilenetv3_small_050",
            MappingProxyType({}),
            _mobilenet_stem,
        ),
    }
)
