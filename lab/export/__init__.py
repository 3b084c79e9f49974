"""From a trained network to a bundle: folded, written as ONNX, verified, stored."""
