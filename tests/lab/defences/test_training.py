"""Facts that hold for all defences alike."""

import pytest
import torch
from torch import Tensor

from siftfunnel.lab.defences.bido import BiDO
from siftfunnel.lab.defences.cem import CEM
from siftfunnel.lab.defences.defence import Defence
from siftfunnel.lab.defences.infoscissors import InfoScissors
from siftfunnel.lab.defences.losses import Loss
from siftfunnel.lab.defences.registry import DEFENCES, make_defence
from siftfunnel.lab.defences.siftfunnel import ABLATIONS, SiftFunnel
from siftfunnel.lab.defences.siftfunnel_rate import SiftFunnelRate
from siftfunnel.lab.networks.split import SplitNetwork
from tests.lab.defences.steps import batch, loss_of, number, tiny

# few centres: each picture of so small a batch would be one
EVERY = {**{name: make_defence(name) for name in DEFENCES}, **ABLATIONS, "cem": CEM(centres=2)}
STAGES = {
    "gaussian-noise": ("gaussian-noise", {"sigma": 0.8}),
    "feature-dropout": ("feature-dropout", {"rate": 0.8}),
    "vib": ("channel-gaussian-noise", {"sigmas": pytest.approx([0.1] * 64)}),
    "cem": ("channel-gaussian-noise", {"sigmas": pytest.approx([0.15] * 12)}),
}


def own_term(defence: Defence, loss: Loss) -> Tensor:
    """What the defence adds to the task's loss, weighted; the task's loss itself where it adds nothing."""
    if isinstance(defence, InfoScissors):
        return loss.parts["club_picture"]
    if isinstance(defence, SiftFunnelRate):
        return loss.parts["price"]
    if isinstance(defence, SiftFunnel):
        # not as a difference: the magnitude's share is below the precision of the sum
        penalties = ("distance_correlation", "channel_correlation", "l1")
        weighted = [getattr(defence.weights, name) * loss.parts[name] for name in penalties]
        return torch.stack(weighted).sum()
    task = loss.parts["cross_entropy"]
    return loss.total - task if len(loss.parts) > 1 else task


def descend(defence: Defence, network: SplitNetwork, steps: int, rate: float, *, whole: bool) -> None:
    x_NCHW, labels_N = batch()
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of(defence, network, x_NCHW, labels_N)
        (loss.total if whole else own_term(defence, loss)).backward()
        optimizer.step()


@pytest.mark.parametrize("name", EVERY)
def test_two_steps_lower_a_defences_own_term(name: str) -> None:
    defence = EVERY[name]
    network = tiny(defence)
    if isinstance(defence, InfoScissors):
        descend(defence, network, 15, 5e-3, whole=True)
    before = number(own_term(defence, loss_of(defence, network, *batch())))
    descend(defence, network, 2, 1e-3, whole=False)
    after = number(own_term(defence, loss_of(defence, network, *batch())))
    assert after < before


# the two sides of InfoSCISSORS work against each other: its sum need not fall
@pytest.mark.parametrize("name", [name for name in EVERY if name != InfoScissors.name])
def test_two_steps_lower_the_whole_loss(name: str) -> None:
    defence = EVERY[name]
    network = tiny(defence)
    before = number(loss_of(defence, network, *batch()).total)
    descend(defence, network, 2, 1e-3, whole=True)
    assert number(loss_of(defence, network, *batch()).total) < before


@pytest.mark.parametrize("name", DEFENCES)
def test_the_loss_says_its_parts_as_scalars(name: str) -> None:
    defence = make_defence(name)
    loss = loss_of(defence, tiny(defence), *batch())
    assert all(part.shape == () for part in (loss.total, *loss.parts.values()))


@pytest.mark.parametrize("case", ["equal pictures", "dead edge", "one label", "saturated"])
@pytest.mark.parametrize("name", DEFENCES)
def test_loss_and_gradients_stay_finite_in_degenerate_cases(name: str, case: str) -> None:
    defence = make_defence(name)
    network = tiny(defence)
    x_NCHW, labels_N = batch(8)
    if case == "equal pictures":
        x_NCHW = x_NCHW[:1].repeat(8, 1, 1, 1)
    if case == "dead edge":
        for parameter in network.edge.parameters():
            parameter.data.zero_()
    if case == "one label":
        labels_N = torch.zeros_like(labels_N)
    if case == "saturated":
        x_NCHW = 1e4 * x_NCHW
    loss = loss_of(defence, network, x_NCHW, labels_N)
    loss.total.backward()
    assert torch.isfinite(loss.total)
    for key, parameter in network.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), key


@pytest.mark.parametrize("name", DEFENCES)
def test_a_loss_makes_nothing_on_another_device(name: str) -> None:
    defence = make_defence(name)
    network = tiny(defence).to("meta")
    x_NCHW, labels_N = (given.to("meta") for given in batch(8))
    assert loss_of(defence, network, x_NCHW, labels_N).total.device.type == "meta"


@pytest.mark.parametrize("name", DEFENCES)
def test_the_manifest_names_what_happens_at_the_cut(name: str) -> None:
    defence = make_defence(name)
    stages = [(stage.kind, dict(stage.parameters)) for stage in defence.edge_stages(tiny(defence))]
    assert stages == ([STAGES[name]] if name in STAGES else [])


def test_bido_has_other_weights_for_resnet() -> None:
    assert BiDO.for_family("cnn") == BiDO(lambda_x=2, lambda_y=20)
    assert BiDO.for_family("resnet18") == BiDO(lambda_x=5, lambda_y=10)
