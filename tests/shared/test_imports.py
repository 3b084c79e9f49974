"""Importing `shared` stays light: what is heavy is imported where it is used."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("siftfunnel.shared.bundle", ["torch", "grpc", "constriction", "skimage", "onnxruntime"]),
        ("siftfunnel.shared.wire", ["torch", "grpc", "constriction", "skimage", "onnxruntime"]),
        ("siftfunnel.shared.preprocess", ["torch", "grpc", "skimage", "google.protobuf"]),
        ("siftfunnel.shared.similarity", ["torch", "skimage", "scipy"]),
        ("siftfunnel.shared.tls", ["grpc", "cryptography", "numpy"]),
        ("siftfunnel.shared.flows", ["grpc", "numpy", "google.protobuf"]),
    ],
)
def test_importing_a_module_leaves_the_heavy_ones_alone(module, heavy):
    program = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
