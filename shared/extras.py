"""Which extra of this distribution brings a module, and how one installs it."""

EXTRA_OF = {
    "annotated_types": "bench",
    "cryptography": "demo",
    "cv2": "camera",
    "dpkt": "attacker",
    "fastapi": "attacker",
    "grpc_health": "cloud",
    "grpc_reflection": "cloud",
    "grpc_tools": "dev",
    "hpack": "attacker",
    "httpx": "attacker",
    "hyperframe": "attacker",
    "jinja2": "lab",
    "matplotlib": "lab",
    "mlperf_loadgen": "bench",
    "onnx": "lab",
    "opacus": "lab",
    "prometheus_client": "cloud",
    "ray": "ray",
    "pydantic": "bench",
    "rich": "demo",
    "safetensors": "lab",
    "shtab": "completion",
    "skimage": "attacker",
    "starlette": "cloud",
    "torch": "lab",
    "uvicorn": "cloud",
}
"""The smallest extra that brings a module that a plain installation lacks; a test reads pyproject.toml."""


def how_to_install(extra: str) -> str:
    """The command that brings an extra; the distribution is on no package index, so it names a checkout.

    Example:
        >>> how_to_install("lab")
        "pip install '.[lab]' in a checkout of siftfunnel"
    """
    return f"pip install '.[{extra}]' in a checkout of siftfunnel"
