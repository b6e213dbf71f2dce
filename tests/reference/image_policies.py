"""The operations of image policies on one image, by torchvision's public functions."""

import math

from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as TF

# In the order of shared.image_policy.Op, by the names of torchvision's spaces.
NAMES = (
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
    "Rotate",
    "Brightness",
    "Color",
    "Contrast",
    "Sharpness",
    "Posterize",
    "Solarize",
    "AutoContrast",
    "Equalize",
    "Identity",
)


def apply(image, name, value, interpolation=InterpolationMode.NEAREST):
    """(C, H, W) uint8 after one operation; `value` is its magnitude in torchvision's spaces, solarize's in levels."""
    still = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0], "interpolation": interpolation}
    slant = math.degrees(math.atan(value))
    calls = {
        "ShearX": lambda: TF.affine(image, **still | {"shear": [slant, 0.0], "center": [0, 0]}),
        "ShearY": lambda: TF.affine(image, **still | {"shear": [0.0, slant], "center": [0, 0]}),
        "TranslateX": lambda: TF.affine(image, **still | {"translate": [int(value), 0]}),
        "TranslateY": lambda: TF.affine(image, **still | {"translate": [0, int(value)]}),
        "Rotate": lambda: TF.rotate(image, value, interpolation=interpolation),
        "Brightness": lambda: TF.adjust_brightness(image, 1 + value),
        "Color": lambda: TF.adjust_saturation(image, 1 + value),
        "Contrast": lambda: TF.adjust_contrast(image, 1 + value),
        "Sharpness": lambda: TF.adjust_sharpness(image, 1 + value),
        "Posterize": lambda: TF.posterize(image, int(value)),
        "Solarize": lambda: TF.solarize(image, value) if value <= 255 else image,
        "AutoContrast": lambda: TF.autocontrast(image),
        "Equalize": lambda: TF.equalize(image),
        "Identity": lambda: image,
    }
    return calls[name]()
