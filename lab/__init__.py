"""The PyTorch workshop: data, models, training, export, and the attacker's decoders."""

# Before anything loads ONNX Runtime: it keeps that from phoning home.
import shared as shared
