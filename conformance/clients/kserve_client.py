"""KServe's clients, unmodified, against a server with `simple`: kserve_client.py GRPC HTTP (HOST:PORT)."""

import asyncio
import sys

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

LEFT, RIGHT = np.arange(16, dtype=np.int32)[None], np.full((1, 16), 3, np.int32)


def request(binary: bool) -> InferRequest:
    """The example's request."""
    inputs = [InferInput(f"INPUT{at}", [1, 16], "INT32") for at in range(2)]
    for tensor, values in zip(inputs, (LEFT, RIGHT), strict=True):
        tensor.set_data_from_numpy(values, binary_data=binary)
    return InferRequest("simple", inputs, request_id="a 42")


def right(response) -> None:
    """Hold an answer to what it has to be."""
    values = {output.name: output.as_numpy().reshape(1, 16) for output in response.outputs}
    assert response.id == "a 42", response.id
    assert np.array_equal(values["OUTPUT0"], LEFT + RIGHT)
    assert np.array_equal(values["OUTPUT1"], LEFT - RIGHT)


async def main(grpc: str, http: str) -> None:
    """Both clients, values as bytes and one by one."""
    rest, base = InferenceRESTClient(RESTConfig(protocol="v2")), f"http://{http}"
    assert await rest.is_server_ready(base)
    assert await rest.is_server_live(base)
    assert await rest.is_model_ready(base, "simple")
    async with InferenceGRPCClient(grpc) as client:
        assert await client.is_server_ready()
        assert await client.is_server_live()
        assert await client.is_model_ready("simple")
        for binary in (True, False):
            right(await client.infer(request(binary)))
            right(await rest.infer(base, request(binary), model_name="simple"))
    print("ok")


asyncio.run(main(*sys.argv[1:]))
