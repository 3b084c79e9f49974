"""What two or more parties of siftfunnel must agree on; numpy and Pillow, never PyTorch.

Importing it also keeps ONNX Runtime from phoning home: official builds since 1.29 report each process and
each loaded model to their maker unless this variable is set before they are imported. Whoever wants that sets
the variable to 0.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
