"""Fingerprints of what an attack was fitted on, so that its folder is not taken for another victim's."""

import hashlib

import torch
from torch import Tensor, nn

from siftfunnel.lab.attacks.victim import Victim

PROBES = 8


def tensor_digest(values: Tensor) -> str:
    """SHA-256 of shape, type and values, whatever the layout and device."""
    bytes_view = values.detach().cpu().contiguous().view(-1).view(torch.uint8)
    head = f"{values.dtype}{tuple(values.shape)}".encode()
    return hashlib.sha256(head + bytes_view.numpy().tobytes()).hexdigest()


def _module_text(module: nn.Module) -> str:
    weights = "".join(f"{name}={tensor_digest(value)};" for name, value in module.state_dict().items())
    return f"{module}|{weights}"


def _behaviour_text(victim: Victim) -> str:
    """Spread of the features of fixed pictures, coarse enough to be the same on every machine."""
    side_h, side_w = victim.image_shape[1:]
    generator = torch.Generator().manual_seed(0)
    blocks = torch.rand(PROBES, 3, 4, 4, generator=generator)
    x_NCHW = nn.functional.interpolate(blocks, size=(side_h, side_w), mode="nearest")
    with torch.no_grad():
        z = victim.features(x_NCHW.to(victim.device)).flatten(1).double()
    return " ".join(f"{value:.3g}" for value in torch.cat([z.std(dim=1), z.abs().mean(dim=1)]).tolist())


def victim_fingerprint(victim: Victim) -> str:
    """SHA-256 that tells victims apart: the edge half, the stage and how often the attacker looks.

    A PyTorch edge or stage counts with its weights and structure, which are the same on every machine; any
    other edge (an ONNX graph) counts with what it makes of fixed pictures, to three digits.
    """
    edge = _module_text(victim.edge) if isinstance(victim.edge, nn.Module) else _behaviour_text(victim)
    stage = _module_text(victim.stage) if isinstance(victim.stage, nn.Module) else ""
    shapes = f"{victim.image_shape}{victim.feature_shape}{tuple(victim.mean)}{tuple(victim.std)}"
    looks = f"{victim.stochastic}{victim.frames}{victim.gain}"
    lift = () if victim.lift is None else (_module_text(victim.lift.module),)
    return hashlib.sha256("|".join((edge, stage, shapes, looks, *lift)).encode()).hexdigest()


def check_pictures(victim: Victim, images_NHWC: Tensor, least: int) -> None:
    """Refuse pictures that are not ``uint8`` of the victim's size, or too few.

    Raises:
        ValueError: says what is wrong and what is needed.
    """
    _, height, width = victim.image_shape
    if images_NHWC.dtype != torch.uint8 or images_NHWC.dim() != 4 or images_NHWC.shape[3] != 3:
        raise ValueError(
            f"auxiliary pictures must be uint8, N x H x W x 3, not {images_NHWC.dtype} "
            f"{tuple(images_NHWC.shape)}"
        )
    if tuple(images_NHWC.shape[1:3]) != (height, width):
        raise ValueError(
            f"the victim takes {height}x{width} pictures, the auxiliary ones are "
            f"{images_NHWC.shape[1]}x{images_NHWC.shape[2]}; resize them"
        )
    if len(images_NHWC) < least:
        raise ValueError(
            f"the attack needs {least} auxiliary pictures or more to train and choose its best epoch, "
            f"got {len(images_NHWC)}"
        )
