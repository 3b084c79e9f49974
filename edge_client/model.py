"""The edge half of a bundle: picture -> tensor -> feature, with ONNX Runtime and nothing else."""

import os
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from siftfunnel.edge_client.errors import ModelError, at_the_boundary
from siftfunnel.shared.bundle import EDGE, Bundle
from siftfunnel.shared.bundle_search import find_bundle
from siftfunnel.shared.stages import StageError, make_stages

_ERRORS_ONLY = 3


class EdgeModel:
    """A bundle's edge half, checked against its manifest when loaded.

    Args:
        bundle: a loaded bundle, its directory, or the name of a shipped one.
        threads: intra-op threads; one leaves the other cores of a small device to the rest.
        bundles: folders in which a name is looked up besides the shipped ones.

    Raises:
        BundleError: no such bundle, or `edge.onnx` is missing or has changed.
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
        self._session = _open_session(self.bundle, threads)
        self._input_name = self._session.get_inputs()[0].name
        self._check_shape()

    def features(self, tensor_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the edge half and the bundle's edge stages.

        Args:
            tensor_NCHW: float32, normalised (`siftfunnel.shared.preprocess`), shape (N, 3, height, width).

        Returns:
            float32, shape (N, channels, height, width) as the manifest's feature says.

        Raises:
            ModelError: the tensor or a stage does not fit, or ONNX Runtime fails.
        """
        try:
            (features,) = self._session.run(None, {self._input_name: tensor_NCHW})
        except Exception as error:
            # ONNX Runtime's exceptions share no base class below Exception
            raise ModelError(f"bundle {self.bundle.name}: {EDGE} fails: {error}") from error
        try:
            for stage in self._stages:
                features = stage(features)
        except StageError as error:
            raise ModelError(f"bundle {self.bundle.name}: {error}") from error
        return cast("NDArray[np.float32]", features)

    def _check_shape(self) -> None:
        picture, feature = self.bundle.manifest.input, self.bundle.manifest.feature
        probe = self.features(np.zeros((1, 3, picture.height, picture.width), np.float32))
        if probe.shape != (1, *feature.shape) or probe.dtype != np.float32:
            raise ModelError(
                f"bundle {self.bundle.name}: {EDGE} gives {probe.dtype} {probe.shape[1:]}, "
                f"its manifest says float32 {feature.shape}; export it anew"
            )


def _open_session(bundle: Bundle, threads: int):  # type: ignore[no-untyped-def]  # onnxruntime has no types
    import onnxruntime

    onnxruntime.set_default_logger_severity(_ERRORS_ONLY)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    # threads that wait by spinning take the core that gRPC and the codec need
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    model = bundle.read(EDGE)
    try:
        # from memory: what was verified is what runs
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"bundle {bundle.name}: {EDGE} does not load: {error}") from error
