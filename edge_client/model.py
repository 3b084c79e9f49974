"""The edge half of a bundle: picture -> tensor -> feature, with ONNX Runtime and nothing else."""

import os
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.edge_client.errors import ModelError, at_the_boundary
from siftfunnel.shared.batches import in_pieces
from siftfunnel.shared.bundle import EDGE, Bundle
from siftfunnel.shared.bundle_search import find_bundle
from siftfunnel.shared.graphs import INPUT, GraphError, check_edge_ends, open_session
from siftfunnel.shared.selftest import check_edge
from siftfunnel.shared.stages import StageError, make_stages
from siftfunnel.shared.tensors import pack_arrays


class EdgeModel:
    """A bundle's edge half, checked against its manifest when loaded.

    Args:
        bundle: a loaded bundle, its directory, or the name of a shipped one.
        threads: intra-op threads; one leaves the other cores of a small device to the rest.
        bundles: folders in which a name is looked up besides the shipped ones.

    Raises:
        BundleError: no such bundle, `edge.onnx` is missing or has changed, or this device does not pass the
            bundle's self-test.
        ModelError: the graph does not load or does not fit the manifest, or an edge stage
            is unknown or does not fit.
        ValueError: fewer than one thread.

    Example:
        >>> from tests.tinybundle import make_tiny_bundle
        >>> import numpy as np, tempfile
        >>> model = EdgeModel(make_tiny_bundle(tempfile.mkdtemp()))
        >>> model.features(np.zeros((1, 3, 32, 32), np.float32)).shape
        (1, 12, 8, 8)
    """

    def __init__(
        self, bundle: Bundle | str | Path, *, threads: int = 1, bundles: Iterable[str | Path] = ()
    ) -> None:
        if not isinstance(bundle, (Bundle, str, PathLike)):
            raise TypeError(f"bundle takes a loaded bundle, its folder or a name, not {bundle!r}")
        if isinstance(bundles, (str, PathLike)):
            raise TypeError(f"bundles takes several folders; give [{os.fspath(bundles)!r}]")
        if threads < 1:
            raise ValueError(f"threads must be at least 1, not {threads}")
        with at_the_boundary():
            self.bundle = bundle if isinstance(bundle, Bundle) else find_bundle(bundle, bundles)
        try:
            self._stages = make_stages(self.bundle.manifest.edge_stages)
        except StageError as error:
            raise ModelError(f"bundle {self.bundle.name}: {error}") from error
        place = f"bundle {self.bundle.name}: {EDGE}"
        model = self.bundle.read(EDGE)
        try:
            self._session = open_session(model, place, threads)
            self._fixed = check_edge_ends(self._session, self.bundle.manifest, place)
        except GraphError as error:
            raise ModelError(str(error)) from error
        self._outputs = [tensor.name for tensor in self.bundle.manifest.sent]
        self._check_shape()
        with at_the_boundary():
            check_edge(self.bundle, self._run)

    def features(self, tensor: NDArray[Any]) -> NDArray[np.float32]:
        """Run the edge half and the bundle's edge stages.

        Args:
            tensor: what `siftfunnel.shared.preprocess.normalise` gives: [N, *tensor_shape] of the input's
                type; float32 [N, 3, height, width] of most bundles.

        Returns:
            float32, shape (N, channels, height, width) as the manifest's feature says; several tensors are
            packed (`siftfunnel.shared.tensors.pack_arrays`).

        Raises:
            ModelError: the tensor or a stage does not fit, or ONNX Runtime fails.
        """
        features = self._run(tensor)
        try:
            for stage in self._stages:
                features = stage(features)
        except StageError as error:
            raise ModelError(f"bundle {self.bundle.name}: {error}") from error
        return features

    def _run(self, tensor: NDArray[Any]) -> NDArray[np.float32]:
        """The packed tensors between the halves, before any stage."""
        try:
            arrays = in_pieces((tensor,), self._compute, self._fixed)
        except Exception as error:
            # ONNX Runtime's exceptions share no base class below Exception
            raise ModelError(f"bundle {self.bundle.name}: {EDGE} fails: {error}") from error
        try:
            return pack_arrays([np.asarray(array) for array in arrays], self.bundle.manifest.sent)
        except ValueError as error:
            raise ModelError(f"bundle {self.bundle.name}: {EDGE}: {error}; export it anew") from error

    def _compute(self, arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        given: list[NDArray[Any]] = self._session.run(self._outputs, {INPUT: arrays[0]})
        return given

    def _check_shape(self) -> None:
        spec = self.bundle.manifest.input
        self.features(np.zeros((1, *spec.tensor_shape), spec.dtype))
