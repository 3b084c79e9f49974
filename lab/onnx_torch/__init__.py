"""An ONNX graph as a differentiable PyTorch module: ``OnnxModule``."""

from lab.onnx_torch.call import UnsupportedOperatorError
from lab.onnx_torch.module import OnnxModule

__all__ = ["OnnxModule", "UnsupportedOperatorError"]
