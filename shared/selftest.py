"""A bundle's self-test: a drawn picture and what each half made of it where the bundle was exported.

NAME/selftest-edge.npz    picture (uint8, height x width x 3), input (what the graph was given), sent_0 ...
                          (the tensors between the halves, before edge stages and codec)
NAME/selftest-cloud.npz   sent_0 ..., output_0 ... (the outputs); both in the manifest's order

By it a device or a server proves at its start that its preprocessing and its runtime are right. Both files
are optional, are listed in the manifest as any file, and hold one frame, batch axis first.

    picture -> prepare -> input -> edge half -> sent      compared with what is stored at both arrows' ends
                                   sent -> cloud half -> outputs
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.input_spec import InputSpec
from siftfunnel.shared.manifest import BundleError, Manifest
from siftfunnel.shared.preprocess import Prepared, prepare
from siftfunnel.shared.selftest_files import Form, arrays_from_bytes, arrays_to_bytes, limit_bytes
from siftfunnel.shared.selftest_picture import MAX_PIXELS, MAX_SIDE, reference_picture
from siftfunnel.shared.tensors import pack_arrays, unpack_array

EDGE_TEST, CLOUD_TEST = "selftest-edge.npz", "selftest-cloud.npz"

RunEdge = Callable[[NDArray[Any]], NDArray[np.float32]]
"""The edge half without stages: input [1, *input.tensor_shape] -> packed feature [1, *feature.shape]."""
RunCloud = Callable[[NDArray[np.float32]], Sequence[NDArray[Any]]]
"""An engine: packed features [1, *feature.shape] -> one array [1, ...] for each of `Manifest.given`."""
PreparePicture = Callable[[Image.Image, InputSpec], Prepared]

MAX_PIXEL_ERROR = 0.25
"""Mean difference between inputs, in steps of a pixel's 256. Of the reference picture float16 makes 0.02 and
another rounding of the filter 0.1; a scale of 1/256 instead of 1/255 0.47, the nearest other filter 1.3."""
MAX_TENSOR_ERROR = 0.05
"""Difference between tensors, root mean square, as a share of what is stored. Other optimisations of ONNX
Runtime make 5e-7, float16 0.4 %, weights of 8 bits 2 % where the network bears them."""
MAX_CHANGED_SHARE = 0.05
"""Share of an output of whole numbers that may differ."""
_LEAST_SIZE = 1e-4


class SelfTestError(BundleError):
    """A part computes something else than where the bundle was exported; the text says which and what to do.

    Attributes:
        part: "preprocessing", "edge half" or "cloud half".
        what: the text without the part.
    """

    def __init__(self, part: str, message: str) -> None:
        super().__init__(f"self-test, {part}: {message}")
        self.part, self.what = part, message


@dataclass(frozen=True)
class EdgeTest:
    """What `selftest-edge.npz` holds.

    Attributes:
        picture_HWC: uint8 RGB.
        tensor: the input made of it, [1, *input.tensor_shape].
        sent: the tensors between the halves, [1, ...] each.
    """

    picture_HWC: NDArray[np.uint8]
    tensor: NDArray[Any]
    sent: tuple[NDArray[np.float32], ...]

    @classmethod
    def from_bytes(cls, data: bytes, manifest: Manifest) -> "EdgeTest":
        """Read the file of a bundle.

        Raises:
            BundleError: not such a file, or arrays of other names, types or shapes than the manifest's.
        """
        arrays = arrays_from_bytes(data, _edge_forms(manifest), EDGE_TEST)
        sent = tuple(arrays[f"sent_{number}"] for number in range(len(manifest.sent)))
        return cls(arrays["picture"], arrays["input"], sent)

    def to_bytes(self) -> bytes:
        """The file."""
        seen = {"picture": self.picture_HWC, "input": self.tensor}
        return arrays_to_bytes(seen | _named("sent", self.sent))

    def check(self, manifest: Manifest, run_edge: RunEdge, prepare_picture: PreparePicture = prepare) -> None:
        """Let a device prove itself: its preprocessing first, then its runtime on the stored input.

        Raises:
            SelfTestError: one of them makes something else.
        """
        _check_input(self, manifest.input, prepare_picture)
        found = unpack_array(run_edge(self.tensor), manifest.sent)
        for tensor, array, stored in zip(manifest.sent, found, self.sent, strict=True):
            _check_values("edge half", f"tensor {tensor.name!r}", array, stored)


@dataclass(frozen=True)
class CloudTest:
    """What `selftest-cloud.npz` holds.

    Attributes:
        sent: the tensors between the halves, [1, ...] each.
        outputs: [1, ...] each.
    """

    sent: tuple[NDArray[np.float32], ...]
    outputs: tuple[NDArray[Any], ...]

    @classmethod
    def from_bytes(cls, data: bytes, manifest: Manifest) -> "CloudTest":
        """Read the file of a bundle.

        Raises:
            BundleError: not such a file, or arrays of other names, types or shapes than the manifest's.
        """
        arrays = arrays_from_bytes(data, _cloud_forms(manifest), CLOUD_TEST)
        return cls(
            tuple(arrays[f"sent_{number}"] for number in range(len(manifest.sent))),
            tuple(arrays[f"output_{number}"] for number in range(len(manifest.given))),
        )

    def to_bytes(self) -> bytes:
        """The file."""
        return arrays_to_bytes({**_named("sent", self.sent), **_named("output", self.outputs)})

    def check(self, manifest: Manifest, run_cloud: RunCloud) -> None:
        """Let a server prove itself on the stored tensors.

        An output with a free axis whose length differs is not compared further: what a detector leaves out is
        decided by thresholds, which another rounding may cross.

        Raises:
            SelfTestError: it makes something else.
        """
        found = run_cloud(pack_arrays(self.sent, manifest.sent))
        for output, array, stored in zip(manifest.given, found, self.outputs, strict=True):
            if array.dtype != stored.dtype or not output.fits(array.shape[1:]):
                raise SelfTestError(
                    "cloud half",
                    f"output {output.name!r} is {array.dtype} {array.shape[1:]}, the manifest says "
                    f"{output.dtype} {output.shape}; export the bundle again",
                )
            if array.shape == stored.shape:
                _check_values("cloud half", f"output {output.name!r}", array, stored)


def check_edge(bundle: Bundle, run_edge: RunEdge, prepare_picture: PreparePicture = prepare) -> bool:
    """Let a device prove that it prepares pictures and computes as the machine that exported the bundle did.

    Args:
        bundle: a loaded one.
        run_edge: the edge half as this device runs it, without stages.
        prepare_picture: how this device prepares pictures.

    Returns:
        Whether there was a self-test; bundles without one are taken as they are.

    Raises:
        SelfTestError: preprocessing or runtime make something else; `part` says which.
        BundleError: the file is damaged or does not fit the manifest.
    """
    data = _stored(bundle, EDGE_TEST, _edge_forms(bundle.manifest))
    if data is not None:
        with _naming(bundle):
            EdgeTest.from_bytes(data, bundle.manifest).check(bundle.manifest, run_edge, prepare_picture)
    return data is not None


def check_cloud(bundle: Bundle, run_cloud: RunCloud) -> bool:
    """Let a server prove that it computes as the machine that exported the bundle did.

    Args:
        bundle: a loaded one.
        run_cloud: the engine's `run`.

    Returns:
        Whether there was a self-test.

    Raises:
        SelfTestError: the engine makes something else.
        BundleError: the file is damaged or does not fit the manifest.
    """
    data = _stored(bundle, CLOUD_TEST, _cloud_forms(bundle.manifest))
    if data is not None:
        with _naming(bundle):
            CloudTest.from_bytes(data, bundle.manifest).check(bundle.manifest, run_cloud)
    return data is not None


def make_selftest(
    manifest: Manifest, run_edge: RunEdge, run_cloud: RunCloud, *, edge_draws_noise: bool = False
) -> dict[str, bytes]:
    """Both files of a bundle that is about to be written, by name; they go into `write_bundle`'s files.

    Args:
        manifest: without those files.
        run_edge: the edge half.
        run_cloud: the cloud half.
        edge_draws_noise: whether the device's half is random on purpose, so that no tensor could prove it.

    Returns:
        The files; none where the input is so large (`MAX_SIDE`) that they would be a burden, the cloud's
        alone where the edge half draws noise.

    Raises:
        SelfTestError: a half gives other values when it runs again, because it draws noise.
    """
    if max(manifest.input.height, manifest.input.width) > MAX_SIDE:
        return {}
    picture = reference_picture(manifest.input)
    tensor = prepare(Image.fromarray(picture), manifest.input).tensor
    feature = run_edge(tensor)
    sent = unpack_array(feature, manifest.sent)
    edge, cloud = EdgeTest(picture, tensor, sent), CloudTest(sent, tuple(run_cloud(feature)))
    cloud.check(manifest, run_cloud)
    if edge_draws_noise:
        return {CLOUD_TEST: cloud.to_bytes()}
    edge.check(manifest, run_edge)
    return {EDGE_TEST: edge.to_bytes(), CLOUD_TEST: cloud.to_bytes()}


def _named(prefix: str, arrays: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {f"{prefix}_{number}": array for number, array in enumerate(arrays)}


def _edge_forms(manifest: Manifest) -> dict[str, Form]:
    given = Form(manifest.input.dtype, (1, *manifest.input.tensor_shape))
    return {
        "picture": Form("uint8", (None, None, 3), MAX_PIXELS * 3),
        "input": given,
        **_sent_forms(manifest),
    }


def _cloud_forms(manifest: Manifest) -> dict[str, Form]:
    outputs = enumerate(manifest.given)
    given = {f"output_{number}": Form(output.dtype, (1, *output.shape)) for number, output in outputs}
    return {**_sent_forms(manifest), **given}


def _sent_forms(manifest: Manifest) -> dict[str, Form]:
    return {
        f"sent_{number}": Form("float32", (1, *tensor.shape)) for number, tensor in enumerate(manifest.sent)
    }


def _stored(bundle: Bundle, name: str, forms: Mapping[str, Form]) -> bytes | None:
    entry = bundle.manifest.files.get(name)
    if entry is None:
        return None
    if entry.size_bytes > limit_bytes(forms):
        raise BundleError(
            f"bundle {bundle.name}: {name} has {entry.size_bytes} bytes, its tensors need at most "
            f"{limit_bytes(forms)}; export the bundle again"
        )
    return bundle.read(name)


@contextmanager
def _naming(bundle: Bundle) -> Iterator[None]:
    try:
        yield
    except SelfTestError as error:
        raise SelfTestError(error.part, f"bundle {bundle.name}: {error.what}") from None
    except BundleError as error:
        raise BundleError(f"bundle {bundle.name}: {error}") from None


def _check_input(test: EdgeTest, spec: InputSpec, prepare_picture: PreparePicture) -> None:
    found = prepare_picture(Image.fromarray(test.picture_HWC), spec).tensor
    if found.shape != test.tensor.shape or found.dtype != test.tensor.dtype:
        raise SelfTestError(
            "preprocessing",
            f"makes an input of {found.dtype} {found.shape} of the reference picture, stored is "
            f"{test.tensor.dtype} {test.tensor.shape}; prepare pictures as the manifest's input says",
        )
    difference = np.abs(found.astype(np.float32) - test.tensor.astype(np.float32))
    steps = np.asarray(spec.std, np.float32) / spec.scale
    by_channel = steps[:, None, None] if spec.layout == "NCHW" else steps
    error = float(np.mean(difference * by_channel))
    # written so that NaN fails too
    if not error <= MAX_PIXEL_ERROR:
        raise SelfTestError(
            "preprocessing",
            f"the reference picture becomes another input here: {error:.2f} steps of a pixel's 256 apart in "
            f"the mean, at most {MAX_PIXEL_ERROR} are allowed. Size, cut, filter, colours or normalisation "
            "are not those of the manifest: use siftfunnel's preprocessing, update siftfunnel and Pillow, or "
            "export the bundle again if its input was changed",
        )


def _check_values(part: str, what: str, found: NDArray[Any], stored: NDArray[Any]) -> None:
    error, most = difference(found, stored)
    if not error <= most:
        raise SelfTestError(
            part,
            f"{what} is {error:.0%} off what was stored when the bundle was exported, from the same input; "
            f"at most {most:.0%} are allowed. Preprocessing has no part in it: the runtime computes "
            "something else. Update onnxruntime, try another engine or provider, or export the bundle again",
        )


def difference(found: NDArray[Any], stored: NDArray[Any]) -> tuple[float, float]:
    """How far arrays of one shape are apart, and how far they may be.

    Of floats the root mean square of the difference as a share of what is stored, whose values count as 1e-4
    at least, and infinities and NaN must stand where they stood; of whole numbers the share that differs.
    """
    if stored.dtype.kind in "iub":
        return float(np.mean(found != stored)) if stored.size else 0.0, MAX_CHANGED_SHARE
    finite = np.isfinite(stored)
    if not np.array_equal(found[~finite], stored[~finite], equal_nan=True):
        return float("inf"), MAX_TENSOR_ERROR
    wanted = stored[finite].astype(np.float64)
    size = max(_root_mean_square(wanted), _LEAST_SIZE)
    return _root_mean_square(found[finite].astype(np.float64) - wanted) / size, MAX_TENSOR_ERROR


def _root_mean_square(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0
