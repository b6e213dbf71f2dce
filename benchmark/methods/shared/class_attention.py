"""The need of a class token whose attention over the patches weighs labels."""

from benchmark.backbones import Network
from benchmark.errors import InputError


def require_class_attention(method: str, network: Network) -> None:
    """Nothing if the backbone has `features_and_attention`.

    Raises:
        InputError: naming a backbone that has.
    """
    if not network.has_class_attention:
        raise InputError(
            f"method {method} needs a vision transformer whose head reads a class token (global_pool token); "
            "choose one, e.g. vit-tiny-p4"
        )
