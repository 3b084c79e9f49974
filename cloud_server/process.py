"""What a process that does nothing but serve sets once."""

import gc


def settle_memory() -> None:
    """Take what a started server is made of out of the garbage collector's rounds.

    A full round over the modules of gRPC, ONNX Runtime and FastAPI stops every thread for tens of
    milliseconds and would find nothing.
    """
    gc.collect()
    gc.freeze()
