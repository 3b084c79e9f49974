import numpy as np
import pytest
import torch
from torch import Tensor

from siftfunnel.lab.defences.allocation import answer_harm
from siftfunnel.lab.defences.guarded import Guarded, NoisyQuantiser, turned
from siftfunnel.lab.graphs.folding import folded_copy
from siftfunnel.lab.graphs.writing import write_onnx
from siftfunnel.lab.networks.canonical import Oriented, Standardised
from siftfunnel.lab.networks.split import SplitNetwork
from siftfunnel.lab.onnx_runner import Runner
from siftfunnel.shared.onnx_torch import OnnxModule
from tests.lab.defences.steps import SIZE, batch, loss_of, number, tiny


def _gradients(adversary: float) -> tuple[SplitNetwork, dict[str, Tensor]]:
    defence = Guarded(adversary=adversary)
    network = tiny(defence)
    loss_of(defence, network, *batch()).total.backward()
    return network, {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


def test_the_inverter_learns_and_the_edge_is_pushed_the_other_way_by_the_weight() -> None:
    (network, none), (_, one), (_, two) = (_gradients(weight) for weight in (0.0, 1.0, 2.0))
    name = "edge.0.0.weight"
    pushed = two[name] - none[name]
    torch.testing.assert_close(pushed, 2 * (one[name] - none[name]), rtol=0.01, atol=1e-5)
    assert pushed.abs().max() > 1e-3
    for name, _ in network.companion.named_parameters(prefix="companion"):
        torch.testing.assert_close(none[name], two[name])
    assert (
        none["companion.1.1.weight" if "companion.1.1.weight" in none else "companion.2.weight"].abs().max()
        > 0
    )


def test_a_turned_loss_is_raised_before_and_lowered_behind() -> None:
    z, behind = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    (turned(z, 0.25) * behind).sum().backward()
    torch.testing.assert_close(z.grad, torch.full((2,), -0.25))
    torch.testing.assert_close(behind.grad, torch.ones(2))


def test_the_inverters_part_is_the_mean_logarithm_of_its_error() -> None:
    defence = Guarded()
    network = tiny(defence)
    x_NCHW, labels_N = batch()
    loss = loss_of(defence, network, x_NCHW, labels_N)
    torch.manual_seed(7)
    guess = network.companion(network.trace(x_NCHW).z_NCHW)  # type: ignore[misc]
    error = (guess - x_NCHW).square().flatten(1).mean(1).log().mean()
    assert number(loss.parts["inverter"]) == pytest.approx(number(error), abs=2e-3)
    kept = number(loss.parts["kl"] + loss.parts["price"] + loss.parts["inverter"])
    assert number(loss.total) == pytest.approx(kept, rel=1e-5)


def test_every_exposure_of_a_picture_is_the_same() -> None:
    x_NCHW = 2 * torch.randn(2, 3, 8, 8)
    shifted = 3 * x_NCHW + torch.tensor([1.0, -2.0, 0.5])[:, None, None]
    torch.testing.assert_close(Standardised()(shifted), Standardised()(x_NCHW), rtol=0.01, atol=1e-3)


def test_a_picture_and_its_mirror_image_send_the_same() -> None:
    network = tiny(Guarded(standardise=True, orient=True)).eval()
    x_NCHW, _ = batch(16)
    plain = tiny(Guarded()).eval()
    with torch.no_grad():
        torch.testing.assert_close(network.edge(x_NCHW.flip(3)), network.edge(x_NCHW), rtol=0, atol=0)
        assert not torch.equal(plain.edge(x_NCHW.flip(3)), plain.edge(x_NCHW))
    kept = Oriented()(x_NCHW)
    assert ((kept == x_NCHW).flatten(1).all(1) | (kept == x_NCHW.flip(3)).flatten(1).all(1)).all()


def test_the_whole_edge_is_a_graph_that_a_device_runs() -> None:
    network = tiny(Guarded(standardise=True, orient=True)).eval()
    x_NCHW, _ = batch(4)
    given = np.concatenate([x_NCHW.numpy(), x_NCHW.flip(3).numpy()])
    edge = folded_copy(network.edge)
    names = {"input_name": "image", "output_name": "feature"}
    model = write_onnx(edge, input_shape=(3, SIZE, SIZE), half_weights=False, **names)
    sent = Runner(model).first(given)
    with torch.no_grad():
        np.testing.assert_allclose(sent, edge(torch.from_numpy(given)), atol=1e-5)
    np.testing.assert_array_equal(sent[:4], sent[4:])
    read = OnnxModule(model)(torch.from_numpy(given))
    np.testing.assert_allclose(sent, read.detach(), atol=1e-5)


def test_noise_comes_before_the_rounding_and_is_named() -> None:
    defence = Guarded(noise=0.3)
    network = tiny(defence).eval()
    stage = network.stage
    assert isinstance(stage, NoisyQuantiser)
    z = torch.full((1, 12, 4, 4), 2.0)
    sent = stage(z)
    assert not torch.equal(sent, stage(z))
    steps = stage.steps(0)[:, None, None]
    torch.testing.assert_close(sent / steps, (sent / steps).round())
    (named,) = defence.edge_stages(network)
    assert named.kind == "channel-gaussian-noise"
    assert named.parameters["sigmas"] == pytest.approx([0.3] * 12)
    assert Guarded().edge_stages(tiny(Guarded())) == ()


def test_going_on_divides_the_noise_at_the_same_harm() -> None:
    defence = Guarded(noise=0.3)
    network = tiny(defence).eval()
    x_NCHW, _ = batch(96)
    defence.start(network, x_NCHW)
    assert isinstance(network.stage, NoisyQuantiser)
    sigmas = network.stage.noise.sigmas_C.numpy()
    assert sigmas.std() > 0.01
    torch.manual_seed(1)
    with torch.no_grad():
        harm_C = answer_harm(network.cloud, network.edge(x_NCHW), 0.3)
    assert harm_C @ np.square(sigmas) == pytest.approx(0.09 * harm_C.sum(), rel=0.5)


@pytest.mark.parametrize("wrong", [{"adversary": -1.0}, {"noise": -0.1}])
def test_weights_below_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="0 or more"):
        Guarded(**wrong)
