"""An ONNX graph as a differentiable PyTorch module: ``OnnxModule``.

The one place of `shared` that needs PyTorch and onnx: the lab differentiates edge halves with it, the cloud's
engine `torch` runs cloud halves with it, and nobody else may import it.
"""

from siftfunnel.shared.onnx_torch.call import UnsupportedOperatorError
from siftfunnel.shared.onnx_torch.module import OnnxModule

__all__ = ["OnnxModule", "UnsupportedOperatorError"]
