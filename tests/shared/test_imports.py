"""Importing `shared` stays light: what is heavy is imported where it is used."""

import json
import subprocess
import sys

HEAVY = {
    "bundle": ["torch", "grpc", "constriction", "skimage", "onnxruntime"],
    "wire": ["torch", "grpc", "constriction", "skimage", "onnxruntime"],
    "preprocess": ["torch", "grpc", "skimage", "google.protobuf"],
    "similarity": ["torch", "skimage", "scipy"],
    "tls": ["grpc", "cryptography", "numpy"],
    "flows": ["grpc", "numpy", "google.protobuf"],
}
"""Module -> what its import must not bring in."""

PROGRAM = """
import importlib, json, os, sys
for name, heavy in json.loads(sys.argv[1]).items():
    # each module in a process of its own, which starts with what this one has: nothing
    if os.fork() == 0:
        importlib.import_module("siftfunnel.shared." + name)
        print(name, [each for each in heavy if each in sys.modules], flush=True)
        os._exit(0)
    os.wait()
"""


def test_importing_a_module_leaves_the_heavy_ones_alone() -> None:
    command = [sys.executable, "-c", PROGRAM, json.dumps(HEAVY)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{name} []" for name in HEAVY]
