"""Networks as ONNX graphs: folded, written, read back to be trained on."""
