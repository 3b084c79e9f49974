"""One certificate's bundle, pictures, device and opponent: what every part of it is made from."""

from dataclasses import dataclass
from functools import cached_property

import torch

from siftfunnel.lab.attacks.attack import Show
from siftfunnel.lab.attacks.chunks import claim
from siftfunnel.lab.certify.natural import require_natural
from siftfunnel.lab.certify.opponent import Opponent, attack_for
from siftfunnel.lab.certify.request import Request, Sources
from siftfunnel.lab.certify.ruler import Ruler, fit_ruler
from siftfunnel.lab.certify.scene import Scene, load_scene
from siftfunnel.lab.certify.sender import Noise, Pixels, Sender, noise_of
from siftfunnel.lab.evaluation.places import require_private_place
from siftfunnel.lab.evaluation.steps import Steps
from siftfunnel.lab.targets.pictures import name_of_pictures
from siftfunnel.lab.targets.target import Target, target_of_bundle
from siftfunnel.shared.bundle import Bundle

ABOUT = "certify.json"
MOST_AUXILIARY = 3_000


@dataclass(frozen=True)
class Case:
    """What is certified, with everything that it takes.

    Attributes:
        bundle: With its edge half.
        request: How large.
        target: The bundle, heard after the codec.
        scene: The pictures.
        sender: The device.
        noise: Of the device; a reason why it bounds nothing; the empty text where there is none.
        opponent: The attack beside the certificate.
        steps: The run folder.
    """

    bundle: Bundle
    request: Request
    target: Target
    scene: Scene
    sender: Sender
    noise: Noise | str
    opponent: Opponent
    steps: Steps

    @classmethod
    def of(
        cls,
        bundle: Bundle,
        codec: str | None,
        request: Request,
        sources: Sources,
        device: torch.device,
        show: Show,
    ) -> "Case":
        """Load everything and claim the run folder.

        Raises:
            CodecError: the bundle has no such codec.
            PlaceError: pictures of people would lie where git tracks them.
            DataError: pictures that are missing or do not fit.
            RunFolderError: the run folder holds another certificate.
        """
        manifest = bundle.manifest
        named = codec or manifest.default_codec
        target = target_of_bundle(bundle.directory, device).hearing(named)
        is_own, name = sources.images is not None, name_of_pictures(target, sources.dataset, sources.images)
        require_private_place(sources.out, name, is_own=is_own, allow=sources.allow_tracked_folder)
        scene, steps = load_scene(target, sources), Steps(sources.out, show)
        if request.natural:
            require_natural(scene.attacker)
        bound = {"bundle": bundle.digest, "codec": named, "request": request.to_json()}
        claim(sources.out / ABOUT, {**bound, "pictures": scene.about()})
        attack = attack_for(bundle.digest, sources.inverter, bundle.directory)
        own = torch.from_numpy(scene.attacker.spread(MOST_AUXILIARY).images_NHWC)
        noisy = target.sender.noisy_edge
        return cls(
            bundle=bundle,
            request=request,
            target=target,
            scene=scene,
            sender=Sender(bundle, named),
            noise=noise_of(manifest.edge_stages, manifest.feature.shape, noisy_edge=noisy),
            opponent=Opponent(target, attack, own, steps, seed=request.seed),
            steps=steps,
        )

    @cached_property
    def ruler(self) -> Ruler:
        """Of the scene."""
        self.steps.show("ruler: mean and covariance")
        return fit_ruler(self.scene.ruler_of.images_NHWC)

    @property
    def frames(self) -> tuple[int, ...]:
        """How many frames of a picture attackers have: without noise all frames are equal."""
        return (1,) if self.noise == "" else (1, self.request.frames)

    def ruler_pixels(self, count: int) -> Pixels:
        """Pictures of the ruler as a device takes them: cut to [0, 1], 8 bits."""
        x_NCHW = self.ruler.draw(count, self.request.seed + 1).clamp(0, 1)
        pixels: Pixels = (x_NCHW * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
        return pixels
