"""The adversary: tap, reassemble, decode, invert, show. Gets only what an eavesdropper would get."""

# Before anything loads ONNX Runtime: it keeps that from phoning home.
import shared as shared
