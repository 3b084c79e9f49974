"""`simple` on KServe's model server: kserve_simple.py --grpc_port N --http_port N."""

from kserve import Model, ModelServer
from kserve.protocol.infer_type import InferOutput, InferResponse
from kserve.utils.utils import generate_uuid


class Simple(Model):
    """Sum and difference."""

    def __init__(self) -> None:
        super().__init__("simple")
        self.ready = True

    async def get_input_types(self):
        """As metadata tell them."""
        return [{"name": f"INPUT{at}", "datatype": "INT32", "shape": [-1, 16]} for at in range(2)]

    async def get_output_types(self):
        """Likewise."""
        return [{"name": f"OUTPUT{at}", "datatype": "INT32", "shape": [-1, 16]} for at in range(2)]

    async def predict(self, payload, headers=None, response_headers=None):
        """Answer one request."""
        left, right = (each.as_numpy() for each in payload.inputs)
        outputs = []
        for name, values in (("OUTPUT0", left + right), ("OUTPUT1", left - right)):
            outputs.append(InferOutput(name, list(values.shape), "INT32"))
            outputs[-1].set_data_from_numpy(values, binary_data=payload.from_grpc)
        asked = {
            "requested_outputs": payload.request_outputs,
            "use_binary_outputs": payload.use_binary_outputs,
        }
        # KServe leaves a request without an id to the model, and refuses a response without one
        return InferResponse(payload.id or generate_uuid(), self.name, outputs, **asked)


if __name__ == "__main__":
    ModelServer().start([Simple()])
