"""Networks around timm models: equal to timm's own forward, mixable at hidden stages, seeded, and refused clearly."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from benchmark import backbones, small_backbones
from benchmark.backbones import Network
from benchmark.errors import InputError

FAMILIES = {  # timm's smallest of each, and the image size it wants
    "test_resnet": 32,
    "test_vit": 160,
    "test_convnext": 32,
    "test_efficientnet": 32,
    "test_byobnet": 32,
    "test_nfnet": 32,
    "test_mambaout": 32,
}
SIZES = {
    "convnext-atto-p1": 8,
    "vit-thin-p2": 8,
    "vit-tiny-p2": 8,
    "vit-tiny-p4": 16,
    "swin-tiny-p2": 32,
    "convnext-atto-p2": 32,
}  # 16 for the others


def make(name: str, size: int = 32, seed: int = 0, channels: int = 3, **args: float) -> Network:
    return backbones.build(name, args, 5, channels, size, seed)


def pictures(rng: torch.Generator, size: int, channels: int = 3, batch: int = 2) -> Tensor:
    return torch.randn(batch, channels, size, size, generator=rng)


def hooks(network: Network) -> int:
    return sum(len(module._forward_hooks) for module in network.modules())


def assert_contract(network: Network, images: Tensor, stages: Sequence[int]) -> None:
    """Features, head and hidden stages agree with each other and with timm's own forward."""
    network.eval()
    with torch.no_grad():
        features = network.features(images)
        expected = network.model(images)
        torch.testing.assert_close(network.classify(features), expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(network(images), expected, rtol=1e-5, atol=1e-6)
        assert features.shape == (len(images), network.num_features)
        assert (features.dtype, expected.shape) == (torch.float32, (len(images), network.num_classes))
        assert 1 <= network.num_stages <= backbones.MAX_STAGES
        seen = []
        for stage in stages:
            same = network.features(images, stage, lambda hidden: seen.append(hidden.shape) or hidden)
            torch.testing.assert_close(same, features, rtol=0, atol=0)
            swapped = network.features(images, stage, lambda hidden: hidden.flip(0))
            torch.testing.assert_close(swapped, features.flip(0), rtol=1e-3, atol=1e-4)  # other summation order
        assert [shape[0] for shape in seen] == [len(images)] * len(stages)
    assert hooks(network) == 0


@pytest.mark.parametrize(("name", "size"), FAMILIES.items())
def test_timm_families_keep_the_contract(name: str, size: int, rng: torch.Generator):
    network = make(name, size)
    assert_contract(network, pictures(rng, size), range(network.num_stages))


@pytest.mark.parametrize("name", small_backbones.VARIANTS)
def test_variants_keep_the_contract_on_small_images(name: str, rng: torch.Generator):
    size = SIZES.get(name, 16)
    network = make(name, size, channels=1)
    assert_contract(network, pictures(rng, size, channels=1), [network.num_stages - 2])


@pytest.mark.parametrize(("name", "size"), list(FAMILIES.items())[:4])
def test_mixing_at_any_stage_changes_the_output_and_passes_gradients(name: str, size: int, rng: torch.Generator):
    network, images = make(name, size).eval(), pictures(rng, size)
    plain = network.features(images).detach()
    for stage in range(network.num_stages):
        network.zero_grad()
        weight = torch.tensor(0.3, requires_grad=True)
        mixed = network.features(images, stage, lambda hidden, w=weight: w * hidden + (1 - w) * hidden.flip(0))
        assert (mixed - plain).abs().max() > 1e-4
        mixed.square().sum().backward()
        assert weight.grad is not None and weight.grad.abs() > 0
        first = next(network.parameters())
        assert first.grad is not None and first.grad.abs().sum() > 0  # through the mix down to the stem


def test_hook_is_removed_when_the_mix_raises(rng: torch.Generator):
    network, images = make("test_resnet").eval(), pictures(rng, 32)

    def explode(hidden: Tensor) -> Tensor:
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        network.features(images, 1, explode)
    assert hooks(network) == 0
    assert torch.isfinite(network(images)).all()


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "resnet18-thin", "mobilenetv3-small-s1"])
def test_equal_seeds_give_equal_weights_and_leave_the_global_state(name: str):
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one = make(name, 160 if name == "test_vit" else 32, seed=4).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    two = make(name, 160 if name == "test_vit" else 32, seed=4).state_dict()
    other = make(name, 160 if name == "test_vit" else 32, seed=5).state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


def test_building_trains_no_statistics_and_returns_train_mode():
    network = make("test_resnet")
    assert network.training
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert all(int(module.num_batches_tracked) == 0 and module.training for module in norms)


def test_thin_resnet_is_what_its_title_says(rng: torch.Generator):
    network = make("resnet18-thin", 32).eval()
    stem = network.model.conv1
    assert isinstance(stem, nn.Conv2d)
    assert (stem.in_channels, stem.out_channels, stem.kernel_size, stem.stride) == (3, 16, (3, 3), (1, 1))
    assert not any(isinstance(module, nn.MaxPool2d) for module in network.modules())
    shapes = []
    for stage in range(network.num_stages):
        network.features(pictures(rng, 32), stage, lambda hidden: shapes.append(tuple(hidden.shape[1:])) or hidden)
    assert shapes == [(16, 32, 32), (32, 16, 16), (64, 8, 8), (128, 4, 4)]
    assert network.num_features == 128


def test_mobilenet_variant_keeps_the_resolution_in_its_stem():
    assert make("mobilenetv3-small-s1", 32).model.conv_stem.stride == (1, 1)


@pytest.mark.parametrize(("name", "depth"), [("test_vit", 6), ("test_vit2", 8)])
def test_stages_of_a_vit_are_the_quarters_of_its_depth(name: str, depth: int):
    expected = tuple(f"blocks.{depth * quarter // 4 - 1}" for quarter in (1, 2, 3, 4))
    assert make(name, 160)._stages == expected


@pytest.mark.parametrize(("wrong", "right"), [("resnet18-smal", "resnet18-small"), ("resnet19", "resnet18|resnet10t")])
def test_unknown_name_suggests_the_nearest(wrong: str, right: str):
    with pytest.raises(InputError, match=f"unknown backbone '{wrong}'; did you mean '({right})'.*c2f list backbones"):
        make(wrong, 32)


@pytest.mark.parametrize(
    ("name", "args", "size", "reason"),
    [
        ("convnext_atto", {}, 2, r"for 3 x 2 x 2 images \(RuntimeError: .*Kernel size"),
        ("vit-tiny-p4", {}, 2, r"for 3 x 2 x 2 images \(RuntimeError: .*Kernel size"),
        ("vit_tiny_patch16_224", {}, 32, r"for 3 x 32 x 32 images \(AssertionError: .*doesn't match model \(224\)"),
        (
            "test_resnet",
            {"nonsense": 1},
            160,
            r"\(nonsense=1\) cannot be built .*unexpected keyword argument 'nonsense'",
        ),
        ("test_resnet", {"num_classes": 7}, 32, r"\(num_classes=7\) cannot be built .*logits \(2, 7\)"),
    ],
)
def test_model_that_cannot_take_such_images_or_arguments_is_refused(
    name: str, args: dict[str, float], size: int, reason: str
):
    with pytest.raises(InputError, match=rf"backbone {name}.*{reason}.*; choose another, see `c2f list") as caught:
        backbones.build(name, args, 5, 3, size, 0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", small_backbones.VARIANTS)
def test_pretrained_weights_for_a_changed_stem_are_refused(name: str):
    with pytest.raises(InputError, match=f"{name}: no published weights for a changed stem; take the timm model"):
        backbones.build(name, {"pretrained": True}, 5, 3, 32, 0)


@pytest.mark.parametrize(
    ("name", "args", "labels"),
    [
        ("resnet18", {}, "none"),
        ("resnet18", {"pretrained": False}, "none"),
        ("resnet18-thin", {}, "none"),
        ("resnet18", {"pretrained": True}, "a1_in1k"),
    ],
)
def test_initial_labels_name_what_the_weights_have_seen(name: str, args: dict[str, bool], labels: str):
    assert backbones.initial_labels(name, args) == labels


def test_constructor_arguments_reach_timm():
    assert make("resnet18-thin", 32, drop_rate=0.25).model.drop_rate == 0.25


@pytest.mark.parametrize(
    ("name", "size", "args"),
    [
        ("vit-tiny-p2", 8, {}),
        ("test_vit", 32, {"img_size": 32, "patch_size": 8}),
        ("test_vit", 32, {"img_size": 32, "patch_size": 8, "qk_norm": True}),
        ("test_vit", 32, {"img_size": 32, "patch_size": 8, "reg_tokens": 2}),
    ],
)
def test_class_attention_is_that_of_timms_own_unfused_attention(
    name: str, size: int, args: dict[str, float], rng: torch.Generator
):
    network, images = make(name, size, **args).double().eval(), pictures(rng, size).double()
    last = network.model.blocks[-1].attn
    for module in (last.q_norm, last.k_norm):  # norms at 1 and 0 would hide that they are applied
        for parameter in module.parameters():
            nn.init.uniform_(parameter, 0.5, 2, generator=rng)
    nn.init.normal_(last.qkv.weight, generator=rng)
    features, attention = network.features_and_attention(images)
    assert network.has_class_attention and not attention.requires_grad
    assert hooks(network) == 0
    torch.testing.assert_close(features, network.features(images), rtol=0, atol=0)

    seen: list[Tensor] = []
    last.fused_attn = False
    last.attn_drop.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    network.features(images)
    heads = seen[0][:, :, 0, network.model.num_prefix_tokens :]  # (B, heads, patches) from the class token
    expected = heads.mean(dim=1)
    expected = expected / expected.sum(dim=1, keepdim=True)
    assert expected.std() > 0.01  # far from uniform
    edge = size // network.model.patch_embed.patch_size[0]
    torch.testing.assert_close(attention, expected.reshape(2, edge, edge), rtol=1e-9, atol=1e-12)


def test_class_attention_stays_in_float32_under_autocast(rng: torch.Generator):
    network, images = make("vit-tiny-p2", 8).eval(), pictures(rng, 8)
    _, full = network.features_and_attention(images)
    with torch.autocast("cpu", torch.bfloat16):
        features, half = network.features_and_attention(images)
    assert features.dtype == half.dtype == torch.float32
    torch.testing.assert_close(half, full, rtol=0.02, atol=1e-3)  # queries and keys were bf16
    torch.testing.assert_close(half.sum(dim=(1, 2)), torch.ones(2), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "args", "reads"),
    [
        ("test_resnet", {}, False),
        ("test_vit", {"img_size": 32, "global_pool": "avg"}, False),
        ("test_vit", {"img_size": 32, "attn_layer": "diff"}, True),
    ],
)
def test_backbones_without_a_class_tokens_attention_say_so(name: str, args: dict[str, float], reads: bool):
    network = make(name, 32, **args)
    assert not network.has_class_attention
    assert network.reads_class_token == reads
