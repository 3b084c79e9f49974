"""What is audited: a run folder, a bundle, or a foreign edge half with its feature spec."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from siftfunnel.lab.attacks.fingerprint import victim_fingerprint
from siftfunnel.lab.attacks.victim import Victim, victim_of_network
from siftfunnel.lab.export.trained_on import dataset_of, dataset_of_name, training_of
from siftfunnel.lab.targets.edges import LoadedEdge, OnnxHalf, digest_of_graphs, load_edge, probe_edge
from siftfunnel.lab.targets.layout import FeatureLayout
from siftfunnel.lab.targets.lifting import find_lift
from siftfunnel.lab.targets.spec import load_spec
from siftfunnel.lab.targets.through_codec import ThroughCodec
from siftfunnel.lab.training.checkpoints import RUN
from siftfunnel.lab.training.classifier import input_spec
from siftfunnel.lab.training.runs import load_run
from siftfunnel.shared.bundle import CLOUD, EDGE, MANIFEST, load_bundle
from siftfunnel.shared.bundle_search import bundle_directory
from siftfunnel.shared.digests import sha256_hex
from siftfunnel.shared.manifest import EdgeStage, LabelKind, Manifest
from siftfunnel.shared.preprocess import InputSpec
from siftfunnel.shared.stages import make_stages
from siftfunnel.shared.wire import SealedCodec, codec_by_name, make_codecs

Kind = Literal["run", "bundle", "foreign"]
Logits = Callable[[NDArray[np.float32]], NDArray[np.float32]]
Answers = Callable[[NDArray[np.float32]], tuple[NDArray[Any], ...]]


@dataclass(frozen=True)
class Target:
    """A network under audit.

    Attributes:
        name: What the report calls it.
        kind: Where it comes from.
        victim: What the attacker holds of it.
        access: Why the victim gives gradients, or why not.
        layout: From the feature's own shape to the maps that the victim makes.
        input: Size and normalisation of pictures.
        digest: SHA-256 that tells it apart from any other.
        about: Defence, architecture and the like, for the report; JSON values.
        logits: Feature in its own shape to class scores, or None without a cloud half.
        classes: Names in the order of the logits, or None.
        label_kind: ``category``, ``identity``, or None where nobody said.
        dataset: Default data set, or None.
        trained_on: Pictures per part that the network was trained with, where known.
        limits: Pictures per part that a run's recipe uses.
        codecs: The bundle's codecs; empty for others.
        default_codec: Name of the recommended one.
        class_ids: What tells classes apart, in their order.
        answers: Feature in its own shape to every output of the cloud half, where none is class scores.
        heard: The codec after which features are overheard; None where it is before any.
        uncoded: The victim as it was before ``heard``.
    """

    name: str
    kind: Kind
    victim: Victim
    access: str
    layout: FeatureLayout
    input: InputSpec
    digest: str
    about: dict[str, Any]
    logits: Logits | None = None
    classes: tuple[str, ...] | None = None
    label_kind: LabelKind | None = None
    dataset: str | None = None
    trained_on: dict[str, int] | None = None
    limits: dict[str, int | None] | None = None
    codecs: tuple[SealedCodec, ...] = ()
    default_codec: str | None = None
    class_ids: tuple[str, ...] = ()
    answers: Answers | None = None
    heard: str | None = None
    uncoded: Victim | None = None

    def hearing(self, codec: str, *, keep: bool = True) -> "Target":
        """The target whose features are overheard after one of its codecs.

        Args:
            codec: Its name.
            keep: Whether what was decoded once is kept, for pictures that come again.

        Raises:
            CodecError: the bundle has no such codec.
            ValueError: it is no bundle, so it has none.
        """
        if not self.codecs:
            raise ValueError(f"{self.name} has no codecs of its own, so --codec {codec} names none")
        chosen = codec_by_name(self.codecs, codec)
        sender = self.sender
        stage = ThroughCodec(
            chosen, self.digest, sender.stage, self.layout, keep=keep and not sender.stochastic
        )
        return replace(self, victim=replace(sender, stage=stage), heard=codec, uncoded=sender)

    @property
    def sender(self) -> Victim:
        """The victim before any codec: what the device puts into one."""
        return self.victim if self.uncoded is None else self.uncoded


def target_at(named: str | Path, device: torch.device) -> Target:
    """The run in a folder, or the bundle in a folder or of a name.

    Raises:
        ValueError: neither is there.
    """
    place = Path(named)
    if (place / RUN).is_file():
        return target_of_run(place, device)
    if place.is_dir() and not (place / MANIFEST).is_file():
        raise ValueError(
            f"{place}: neither a bundle ({MANIFEST}) nor a run folder ({RUN}) is there; for another ONNX "
            "edge half give --edge FILE --spec FILE"
        )
    return target_of_bundle(bundle_directory(named), device)


def target_of_run(folder: Path, device: torch.device) -> Target:
    """A trained network of the lab, white-box."""
    recipe, network, stored = load_run(folder)
    spec = input_spec(recipe)
    victim = victim_of_network(network, mean=spec.mean, std=spec.std, device=device)

    def logits(features: NDArray[np.float32]) -> NDArray[np.float32]:
        parts = torch.split(torch.from_numpy(features), 100)
        with torch.inference_mode():
            return torch.cat([network.cloud(part.to(device)).cpu() for part in parts]).numpy()

    return Target(
        name=recipe.bundle,
        kind="run",
        victim=victim,
        access="the trained network itself is attacked, so gradients pass",
        layout=FeatureLayout(network.feature_shape, (recipe.input_size, recipe.input_size)),
        input=spec,
        digest=victim_fingerprint(victim),
        about={
            "defence": recipe.defence.label,
            "architecture": f"{recipe.architecture}, width {recipe.width}",
            "split_point": getattr(network, "split_point", None),
            "edge_stages": [stage.kind for stage in recipe.defence.edge_stages(network)],
            "recipe": recipe.to_json(),
        },
        logits=logits,
        classes=tuple(stored["about"]["classes"]),
        label_kind=recipe.label_kind,  # type: ignore[arg-type]  # Recipe checks the same two words
        dataset=recipe.dataset,
        trained_on=stored["about"]["splits"],
        limits=dict(vars(recipe.limits)),
    )


def layout_of(manifest: Manifest) -> FeatureLayout:
    """From the feature as it is packed to maps; a tensor keeps its own axes, such as tokens."""
    image = (manifest.input.height, manifest.input.width)
    return FeatureLayout(manifest.feature.shape, image, tuple(tensor.shape for tensor in manifest.sent))


def target_of_bundle(
    place: Path, device: torch.device, *, black_box: bool = False, keep: bool = True
) -> Target:
    """A bundle: white-box where its edge half can be differentiated; without ``cloud.onnx`` no accuracy.

    Features of schema 2, whose codecs are a part of the protection, are overheard after the recommended one.

    Args:
        place: Its folder.
        device: Where a victim that gives gradients computes.
        black_box: Query the edge half with ONNX Runtime, as the device runs it, though it may give gradients.
        keep: See ``Target.hearing``.
    """
    bundle = load_bundle(place, need=(EDGE,))
    manifest = bundle.manifest
    has_cloud = CLOUD in manifest.files and (place / CLOUD).is_file()
    if has_cloud:
        bundle = load_bundle(place, need=(EDGE, CLOUD))
    several = manifest.sent if len(manifest.sent) > 1 else ()
    loaded = load_edge(bundle.path(EDGE), device, manifest.input, tensors=several, black_box=black_box)
    layout = layout_of(manifest)
    made = manifest.feature.shape if several else manifest.sent[0].shape
    noisy = probe_edge(loaded, manifest.input, made, device, manifest.name)
    fixed = tuple(output.name for output in manifest.given if None not in output.shape)
    cloud = Cloud(OnnxHalf(place / CLOUD, tensors=several, several=True), made, fixed) if has_cloud else None
    victim = _victim(loaded, manifest.input, layout, device, manifest.edge_stages, noisy)
    if has_cloud:
        victim = replace(victim, lift=find_lift(onnx.load(str(place / CLOUD)), manifest.sent, layout, device))
    target = Target(
        name=manifest.name,
        kind="bundle",
        victim=victim,
        access=loaded.reason,
        layout=layout,
        input=manifest.input,
        digest=bundle.digest,
        about={
            "defence": manifest.defence,
            "architecture": manifest.architecture,
            "split_point": manifest.split_point,
            "edge_stages": [stage.kind for stage in manifest.edge_stages],
        },
        logits=None if cloud is None or manifest.scores is None else cloud.scores(manifest.scores.name),
        answers=cloud.answers if cloud is not None and manifest.scores is None and fixed else None,
        classes=manifest.classes or None,
        class_ids=manifest.ids,
        label_kind=manifest.label_kind,
        dataset=dataset_of(bundle),
        trained_on=training_of(bundle).get("splits"),
        codecs=make_codecs(manifest, bundle.digest),
        default_codec=manifest.default_codec,
    )
    return target if manifest.schema_version == 1 else target.hearing(manifest.default_codec, keep=keep)


class Cloud:
    """A cloud half that takes features as codecs have them.

    Args:
        half: The graph.
        taken: Shape of the feature that it takes: of its only tensor, or of all of them packed.
        fixed: Outputs whose shape is the same for every frame; None asks the graph.
    """

    def __init__(self, half: OnnxHalf, taken: tuple[int, ...], fixed: tuple[str, ...] | None = None) -> None:
        self._half, self._taken = half, taken
        self.fixed = half.fixed_outputs if fixed is None else fixed

    def answers(self, features: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
        """Every output whose shape is the same for every frame."""
        return self._run(features, self.fixed)

    def scores(self, name: str = "") -> Logits:
        """From features to the output of that name; to the first where a graph calls it something else."""
        names = self._half.output_names
        wanted = (name if name in names else names[0],)
        return lambda features: self._run(features, wanted)[0].astype(np.float32)

    def _run(self, features: NDArray[np.float32], names: Sequence[str]) -> tuple[NDArray[Any], ...]:
        return self._half.outputs(features.reshape(len(features), *self._taken), names)


def target_of_foreign(edge: Path, spec: Path, device: torch.device) -> Target:
    """An ONNX edge half that is not ours, black-box, as its spec describes it."""
    contract = load_spec(spec)
    several = contract.tensors if len(contract.tensors) > 1 else ()
    loaded = load_edge(edge, device, contract.input, tensors=several, black_box=True)
    image = (contract.input.height, contract.input.width)
    layout = FeatureLayout(contract.feature, image, tuple(tensor.shape for tensor in several))
    noisy = probe_edge(loaded, contract.input, contract.feature, device, contract.name)
    graphs = (edge,) if contract.cloud is None else (edge, contract.cloud)
    half = None if contract.cloud is None else OnnxHalf(contract.cloud, tensors=several, several=True)
    cloud = None if half is None else Cloud(half, contract.feature)
    ranks = contract.classes is not None or (half is not None and len(half.output_names) == 1)
    return Target(
        name=contract.name,
        kind="foreign",
        victim=_victim(loaded, contract.input, layout, device, (), noisy),
        access=loaded.reason,
        layout=layout,
        input=contract.input,
        digest=sha256_hex(digest_of_graphs(*graphs).encode() + spec.read_bytes()),
        about={"defence": None, "architecture": None, "split_point": None, "edge_stages": []},
        logits=cloud.scores() if cloud is not None and ranks else None,
        answers=cloud.answers if cloud is not None and not ranks and cloud.fixed else None,
        classes=contract.classes,
        label_kind=contract.label_kind,
        dataset=dataset_of_name(contract.name),
    )


def _victim(
    loaded: LoadedEdge,
    spec: InputSpec,
    layout: FeatureLayout,
    device: torch.device,
    stages: tuple[EdgeStage, ...],
    noisy: bool,
) -> Victim:
    """The victim whose features are maps; noise falls on the feature in its own shape, as on the device."""
    made = make_stages(stages)

    def add_noise(z_NCHW: Tensor) -> Tensor:
        values = layout.to_own(z_NCHW).detach().cpu().numpy()
        for stage in made:
            values = stage(values)
        return layout.to_maps(torch.from_numpy(values).to(z_NCHW.device))

    def mapped(x_NCHW: Tensor) -> Tensor:
        return layout.to_maps(loaded.edge(x_NCHW))

    return Victim(
        edge=loaded.edge if layout.is_identity else mapped,
        stage=add_noise if made else nn.Identity(),
        mean=loaded.mean,
        std=loaded.std,
        image_shape=(3, spec.height, spec.width),
        feature_shape=layout.maps,
        device=device,
        white_box=loaded.white_box,
        stochastic=bool(made) or noisy,
        noisy_edge=noisy,
        gain=gain_of(stages),
    )


def gain_of(stages: tuple[EdgeStage, ...]) -> float:
    """What the mean of many observations must be multiplied by: 1 / (1 - rate) for each dropout.

    Example:
        >>> gain_of((EdgeStage("gaussian-noise", {"sigma": 1}), EdgeStage("feature-dropout", {"rate": 0.75})))
        4.0
    """
    gain = 1.0
    for stage in stages:
        if stage.kind == "feature-dropout":
            gain /= 1 - float(stage.parameters["rate"])
    return gain
