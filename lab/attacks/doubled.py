"""Whether an inverter's training was long enough: as many passes again, from where it stands.

What the second half of all passes gains is the attack's own word on whether a printed leak is all that this
kind of inverter gets: a gain worth mentioning says that still more passes would get more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from siftfunnel.lab.attacks.attack import Access, Show
from siftfunnel.lab.attacks.inverter_training import InverterTask, TrainedInverter
from siftfunnel.lab.attacks.residual import Residual
from siftfunnel.lab.attacks.stored import StoredInverter
from siftfunnel.lab.attacks.victim import Victim


@dataclass(frozen=True)
class Doubled(TrainedInverter):
    """An inverter trained on, with the schedule begun again at half its peak.

    Attributes:
        start: The inverter; fitted in the same root folder unless it is already.
    """

    epochs: int = 20
    batch: int = 32
    learning_rate: float = 7.5e-4
    start: TrainedInverter | StoredInverter = field(default_factory=Residual)

    name: ClassVar[str] = "doubled"
    label: ClassVar[str] = "Inverter, trained twice as long"
    access: ClassVar[Access] = "black-box"
    source: ClassVar[str] = "warm restarts after Loshchilov and Hutter, ICLR 2017; the check is ours"

    @classmethod
    def of(cls, start: TrainedInverter | StoredInverter) -> "Doubled":
        """With as many passes as ``start`` has had."""
        return cls(epochs=max(1, start.epochs), least_steps=getattr(start, "least_steps", 0), start=start)

    def fit(self, victim: Victim, auxiliary_NHWC: Tensor, folder: Path, show: Show) -> Mapping[str, Any]:
        """Fit the inverter unless it is, then train it on."""
        self.start.fit(victim, auxiliary_NHWC, folder, show)
        return super().fit(victim, auxiliary_NHWC, folder, show)

    def taken(self, victim: Victim, z_NCHW: Tensor) -> Tensor:
        """What the inverter's own network takes; a stored one takes features as they are."""
        return self.start.taken(victim, z_NCHW) if isinstance(self.start, TrainedInverter) else z_NCHW

    def whole(self, victim: Victim, mean_C: Tensor, std_C: Tensor) -> nn.Module:
        """The inverter's own network, with whatever it begins and ends with."""
        make = self.start.whole if isinstance(self.start, TrainedInverter) else self.start.build
        return make(victim, mean_C, std_C)

    def build(self, victim: Victim, mean_C: Tensor, std_C: Tensor) -> nn.Module:
        """The inverter's own network."""
        return self.start.build(victim, mean_C, std_C)

    def task(self, victim: Victim, auxiliary_NHWC: Tensor, root: Path) -> InverterTask:
        """The inverter's network with its weights."""
        task = super().task(victim, auxiliary_NHWC, root)
        task.model.load_state_dict(self.start.load(victim, root / self.start.name).state_dict())
        return task
