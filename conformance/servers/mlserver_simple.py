"""`simple` on MLServer; `mlserver_simple.py FOLDER GRPC HTTP METRICS` writes its settings there."""

import json
import shutil
import sys
from pathlib import Path

if __name__ != "__main__":
    from mlserver import MLModel
    from mlserver.codecs import NumpyCodec
    from mlserver.types import InferenceRequest, InferenceResponse

    class Simple(MLModel):
        """Sum and difference."""

        async def predict(self, payload: InferenceRequest) -> InferenceResponse:
            """Answer one request."""
            left, right = (NumpyCodec.decode_input(each) for each in payload.inputs)
            outputs = [("OUTPUT0", left + right), ("OUTPUT1", left - right)]
            return InferenceResponse(
                model_name=self.name,
                outputs=[NumpyCodec.encode_output(name, values) for name, values in outputs],
            )
else:
    folder, *ports = sys.argv[1:]
    shutil.copy(__file__, folder)
    keys = ("grpc_port", "http_port", "metrics_port")
    settings = {
        "host": "127.0.0.1",
        "parallel_workers": 0,
        "debug": False,
        **dict(zip(keys, map(int, ports), strict=True)),
    }
    ends = {
        end: [{"name": f"{end[:-1].upper()}{at}", "datatype": "INT32", "shape": [-1, 16]} for at in range(2)]
        for end in ("inputs", "outputs")
    }
    model = {"name": "simple", "implementation": "mlserver_simple.Simple", **ends}
    Path(folder, "settings.json").write_text(json.dumps(settings))
    Path(folder, "model-settings.json").write_text(json.dumps(model))
