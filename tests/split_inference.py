"""Both ends of the service, as protoc makes them: a client's methods by name, a server of an object."""

from typing import Any

import grpc
from google.protobuf.message_factory import GetMessageClass

from siftfunnel.shared.rpc import split_inference_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["SplitInference"]


def _kind(method: Any) -> str:
    sides = (method.client_streaming, method.server_streaming)
    return "_".join("stream" if streams else "unary" for streams in sides)


class SplitInferenceStub:
    """The calls of a channel, of either kind."""

    def __init__(self, channel: Any) -> None:
        for method in SERVICE.methods:
            call = getattr(channel, _kind(method))(
                f"/{SERVICE.full_name}/{method.name}",
                request_serializer=GetMessageClass(method.input_type).SerializeToString,
                response_deserializer=GetMessageClass(method.output_type).FromString,
            )
            setattr(self, method.name, call)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def serve_calls(servicer: Any, server: Any) -> None:
    """Have a server answer with an object's methods; those that it lacks are UNIMPLEMENTED."""
    handlers = {
        method.name: getattr(grpc, f"{_kind(method)}_rpc_method_handler")(
            getattr(servicer, method.name),
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=GetMessageClass(method.output_type).SerializeToString,
        )
        for method in SERVICE.methods
        if hasattr(servicer, method.name)
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE.full_name, handlers),))
