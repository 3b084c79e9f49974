"""The pictures of a certificate: certified ones, the attacker's own, and those that the ruler is of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from siftfunnel.lab.certify.request import Sources
from siftfunnel.lab.data.images import ImageSet
from siftfunnel.lab.data.own import load_own
from siftfunnel.lab.targets.pictures import name_of_pictures, splits_for
from siftfunnel.lab.targets.target import Target

LEAST_ATTACKER, LEAST_CERTIFIED = 192, 8


@dataclass(frozen=True)
class Scene:
    """Pictures that nobody mixes.

    Attributes:
        name: Of the data set, or of the folder.
        certified: Test pictures.
        attacker: The attacker's own.
        ruler_of: Whose mean and covariance the ruler has: the training pictures; of a folder the attacker's.
        told: What else a result says of them.
    """

    name: str
    certified: ImageSet
    attacker: ImageSet
    ruler_of: ImageSet
    told: Mapping[str, Any]

    def about(self) -> dict[str, Any]:
        """What a result says, and what a run folder is bound to."""
        return {
            "name": self.name,
            "certified_pictures": len(self.certified),
            "certified_sha256": self.certified.pixels_sha256(),
            "attacker_sha256": self.attacker.pixels_sha256(),
            **self.told,
        }


def load_scene(target: Target, sources: Sources) -> Scene:
    """Load the pictures at the size that the network takes.

    Raises:
        DataError: pictures that are missing, too few, or of another size.
    """
    name = name_of_pictures(target, sources.dataset, sources.images)
    if sources.images is not None:
        own = load_own(sources.images, target.input, attacker=LEAST_ATTACKER, attacked=LEAST_CERTIFIED)
        told = {"pixels_sha256": own.sha256, "notes": list(own.notes)}
        return Scene(name, own.attacked, own.attacker, own.attacker, told)
    splits = splits_for(target, name, sources.data, sources.cache)
    return Scene(name, splits.test, splits.auxiliary, splits.train, {"notes": list(splits.notes)})
