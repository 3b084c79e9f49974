"""A bundle's graphs become a network again that computes the same and can be trained on."""

import numpy as np
import pytest
import torch
from torch import nn

from siftfunnel.lab.defences.siftfunnel import SiftFunnel
from siftfunnel.lab.export.bundle import convert
from siftfunnel.lab.graphs.unfolding import load_from_bundle
from siftfunnel.lab.networks.registry import build_network
from siftfunnel.shared.bundle import Bundle, load_bundle, write_bundle
from siftfunnel.shared.manifest import FeatureSpec, Manifest
from siftfunnel.shared.preprocess import InputSpec
from siftfunnel.shared.wire import calibrate


def trained_like(architecture: str) -> nn.Module:
    torch.manual_seed(0)
    network = build_network(architecture, width=32, input_size=32, num_classes=10)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
                module.weight.uniform_(0.5, 2)
                module.bias.normal_()
    return network.eval()


def bundle_of(network, folder, classes="abcdefghij") -> Bundle:
    exported = convert(network)
    rng = np.random.default_rng(0)
    manifest = Manifest(
        name="tiny",
        architecture="cnn",
        defence="none",
        split_point=network.split_point,
        input=InputSpec(network.input_size, network.input_size),
        feature=FeatureSpec(*network.feature_shape),
        classes=tuple(classes),
        label_kind="category",
        codecs=calibrate(rng.random((20, *network.feature_shape), dtype=np.float32)),
        default_codec="q8",
    )
    files = {"edge.onnx": exported.edge_onnx, "cloud.onnx": exported.cloud_onnx}
    write_bundle(folder, manifest, files, {})
    return load_bundle(folder)


def pictures(count: int = 64) -> torch.Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("architecture", ["cnn-siftfunnel", "cnn-unprotected"])
def test_the_unfolded_network_computes_what_the_bundle_computes(architecture, tmp_path):
    original = trained_like(architecture)
    bundle = bundle_of(original, tmp_path / "bundle")
    fresh = build_network(architecture, width=32, input_size=32, num_classes=10)
    load_from_bundle(fresh, bundle, pictures())
    x = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected, made = original(x), fresh(x)
    np.testing.assert_allclose(made, expected, rtol=0, atol=5e-3 * float(expected.abs().max()))


def test_normalisations_hold_the_statistics_of_their_input(tmp_path):
    bundle = bundle_of(trained_like("cnn-siftfunnel"), tmp_path / "bundle")
    fresh = build_network("cnn-siftfunnel", width=32, input_size=32, num_classes=10)
    load_from_bundle(fresh, bundle, pictures())
    conv, norm = list(fresh.edge[0].children())[:2]
    with torch.no_grad():
        inside = conv(pictures())
    np.testing.assert_allclose(norm.running_mean, inside.mean(dim=(0, 2, 3)), atol=1e-5)
    np.testing.assert_allclose(norm.running_var, inside.var(dim=(0, 2, 3)), rtol=1e-4)


def test_a_bundle_of_another_network_is_refused(tmp_path):
    bundle = bundle_of(trained_like("cnn-unprotected"), tmp_path / "bundle")
    funnel = SiftFunnel().build("cnn", width=32, input_size=32, num_classes=10)
    with pytest.raises(ValueError, match="holds another network"):
        load_from_bundle(funnel, bundle, pictures())
