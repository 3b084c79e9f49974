"""Whether the halves of a bundle do what its manifest says: opened, compared, run alone and joined.

What a device or a server would refuse when it starts is refused here: before a bundle is written, and by
`siftfunnel bundle verify`.

    ends of both graphs -> reference pictures through the edge half and its stages -> their tensors through
    the cloud half, alone and together -> scores are what they are called -> self-test
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siftfunnel.shared.bundle import CLOUD, EDGE
from siftfunnel.shared.graphs import INPUT, GraphError, check_cloud_ends, check_edge_ends, open_session, run
from siftfunnel.shared.manifest import Manifest
from siftfunnel.shared.preprocess import fit_image, normalise
from siftfunnel.shared.selftest import (
    CLOUD_TEST,
    EDGE_TEST,
    CloudTest,
    EdgeTest,
    difference,
)
from siftfunnel.shared.selftest_picture import reference_picture
from siftfunnel.shared.stages import StageError, make_stages
from siftfunnel.shared.tensors import OutputSpec, pack_arrays, unpack_array

_SUM_ERROR = 0.01
"""Of probabilities that were rounded to float16, far above; of logits, far below."""


@dataclass(frozen=True)
class Checked:
    """What was found right.

    Attributes:
        halves: "edge", "cloud"; both means that they were run joined.
        self_tests: those of the halves that were there to be passed.
        frames_per_run: frames that the cloud half takes at once; None for any number, or where it was not
            looked at.
    """

    halves: tuple[str, ...]
    self_tests: tuple[str, ...]
    frames_per_run: int | None


def check_halves(manifest: Manifest, files: Mapping[str, bytes]) -> Checked:
    """Open and run the halves that are among a bundle's files.

    Args:
        manifest: what they must fit; its `files` are not looked at.
        files: contents by name: `edge.onnx`, `cloud.onnx` or both, and the self-test.

    Raises:
        GraphError: a graph does not open, run or fit; the text says what to do.
        SelfTestError: it computes something else than where the bundle was exported.
        BundleError: the self-test's file is damaged.
    """
    features = _random_features(manifest)
    halves, tests, frames_per_run = [], [], None
    if EDGE in files:
        edge = _Edge(files[EDGE], manifest)
        features = edge.features_of_pictures()
        halves.append("edge")
        if EDGE_TEST in files:
            EdgeTest.from_bytes(files[EDGE_TEST], manifest).check(manifest, edge.run)
            tests.append("edge")
    if CLOUD in files:
        cloud = _Cloud(files[CLOUD], manifest)
        cloud.check(features)
        frames_per_run = cloud.frames
        halves.append("cloud")
        if CLOUD_TEST in files:
            CloudTest.from_bytes(files[CLOUD_TEST], manifest).check(manifest, cloud.run)
            tests.append("cloud")
    return Checked(tuple(halves), tuple(tests), frames_per_run)


def _random_features(manifest: Manifest) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    shape = (1, *manifest.feature.shape)
    return [rng.gamma(1.0, 1.0, shape).astype(np.float32) for _ in range(2)]


class _Edge:
    """The edge half, one frame at a time."""

    def __init__(self, model: bytes, manifest: Manifest) -> None:
        self._manifest = manifest
        self._session = open_session(model, EDGE)
        self._frames = check_edge_ends(self._session, manifest, EDGE) or 1

    def run(self, tensor: NDArray[Any]) -> NDArray[np.float32]:
        """The packed feature of one input."""
        sent = self._manifest.sent
        names = [each.name for each in sent]
        arrays = run(self._session, {INPUT: tensor.repeat(self._frames, axis=0)}, names, EDGE)
        try:
            return pack_arrays([array[:1] for array in arrays], sent)
        except ValueError as error:
            raise GraphError(f"{EDGE}: {error}; export the bundle again") from error

    def features_of_pictures(self) -> list[NDArray[np.float32]]:
        """Features of two reference pictures, after the stages of the device."""
        return [self._staged(self.run(tensor)) for tensor in _inputs(self._manifest)]

    def _staged(self, feature: NDArray[np.float32]) -> NDArray[np.float32]:
        if not np.isfinite(feature).all():
            raise GraphError(
                f"{EDGE}: gives NaN or infinity for the reference picture: is the manifest's input what the "
                "network was trained with?"
            )
        try:
            for stage in make_stages(self._manifest.edge_stages):
                feature = stage(feature)
        except StageError as error:
            raise GraphError(f"manifest.json: {error}; export the bundle again") from error
        return feature


def _inputs(manifest: Manifest) -> Iterator[NDArray[Any]]:
    picture = reference_picture(manifest.input)
    for pixels_HWC in (picture, picture[::-1, ::-1]):
        pixels = fit_image(Image.fromarray(np.ascontiguousarray(pixels_HWC)), manifest.input)
        yield normalise(pixels[None], manifest.input)


class _Cloud:
    """The cloud half, in batches that it takes."""

    def __init__(self, model: bytes, manifest: Manifest) -> None:
        self._manifest = manifest
        self._session = open_session(model, CLOUD)
        self.frames = check_cloud_ends(self._session, manifest, CLOUD)

    def run(self, features: NDArray[np.float32]) -> list[NDArray[Any]]:
        """The outputs of some frames, checked; a fixed batch is filled up with copies of the last."""
        frames, sent = len(features), self._manifest.sent
        filled = np.concatenate([features, features[-1:].repeat(max(0, (self.frames or 0) - frames), axis=0)])
        arrays = unpack_array(filled, sent)
        feeds = {tensor.name: array for tensor, array in zip(sent, arrays, strict=True)}
        names = [output.name for output in self._manifest.given]
        outputs = run(self._session, feeds, names, CLOUD)
        for output, array in zip(self._manifest.given, outputs, strict=True):
            _require_output(output, array, len(filled))
        return [array[:frames] for array in outputs]

    def check(self, features: Sequence[NDArray[np.float32]]) -> None:
        """Run frames alone and together, and look at the scores."""
        alone = [self.run(feature) for feature in features]
        given = self._manifest.given
        # whoever serves an output whose size each picture decides runs frames one by one
        if self.frames is None and not any(None in output.shape for output in given):
            try:
                together = self.run(np.concatenate(features))
            except GraphError as error:
                raise GraphError(
                    f"{error}; one frame alone runs: the number of frames is fixed inside. Export it with a "
                    "batch axis that is free, or fix it to 1 at both ends and say frames_per_run 1 (schema 2)"
                ) from error
            _require_same(given, alone, together)
        for number, output in enumerate(given):
            _require_scores(output, [outputs[number] for outputs in (*alone, self._of_nothing())])

    def _of_nothing(self) -> list[NDArray[Any]]:
        return self.run(np.zeros((1, *self._manifest.feature.shape), np.float32))


def _require_output(output: OutputSpec, array: NDArray[Any], frames: int) -> None:
    # of an output whose size each picture decides the first frame's is read
    enough = len(array) >= 1 if None in output.shape and array.ndim else array.shape[:1] == (frames,)
    if array.dtype != output.dtype or not enough or not output.fits(array.shape[1:]):
        raise GraphError(
            f"{CLOUD}: output {output.name} of {frames} frames is {array.dtype} {array.shape}, the manifest "
            f"says {output.dtype} {output.shape} for each frame; export the bundle again"
        )


def _require_same(
    given: Sequence[OutputSpec], alone: Sequence[Sequence[NDArray[Any]]], together: Sequence[NDArray[Any]]
) -> None:
    for number, output in enumerate(given):
        rows = np.concatenate([outputs[number] for outputs in alone])
        error, most = difference(together[number], rows)
        if not error <= most:
            raise GraphError(
                f"{CLOUD}: output {output.name} of a frame changes by {error:.0%} with the frames beside "
                "it in a batch, or each time it runs; export it so that frames do not mix and no noise is "
                "drawn, or with frames_per_run 1 (schema 2)"
            )


def _require_scores(output: OutputSpec, rows: Sequence[NDArray[Any]]) -> None:
    if not output.is_scores or output.shape == (1,):
        return
    values = np.concatenate(rows).astype(np.float64)
    within = bool(np.all(values >= 0) and np.all(values <= 1 + _SUM_ERROR))
    are_probabilities = within and bool(np.all(np.abs(values.sum(1) - 1) < _SUM_ERROR))
    if output.kind == "logits" and are_probabilities:
        raise GraphError(
            f"{CLOUD}: output {output.name} is called logits and holds probabilities already (0 to 1, "
            "together 1): a second softmax would make .73 of .99. Call it probabilities (schema 2), or leave "
            "the softmax out"
        )
    if output.kind == "probabilities" and not are_probabilities:
        raise GraphError(
            f"{CLOUD}: output {output.name} is called probabilities, but its values are not 0 to 1 and "
            "together 1: call it logits if the softmax is still to come, tensor if each stands for itself"
        )
