"""Measures the running service: ratios are taken side by side in one run, results name the machine."""

# Before anything loads ONNX Runtime: it keeps that from phoning home.
import shared as shared
