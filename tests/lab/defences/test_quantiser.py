"""The quantiser in training counts, prices and quantises as the codec that is exported from it."""

import numpy as np
import pytest
import torch

from siftfunnel.lab.defences.quantiser import RateQuantiser
from siftfunnel.lab.defences.registry import defence_from_json
from siftfunnel.lab.defences.siftfunnel_rate import MOST_WIDENED, SiftFunnelRate, fit_rate_point
from siftfunnel.shared.manifest import FeatureSpec
from siftfunnel.shared.wire import calibrate_lattice
from siftfunnel.shared.wire.kinds import make_body
from siftfunnel.shared.wire.lattice import (
    CONTEXTS,
    PHASES,
    Grid,
    coding_order,
)
from siftfunnel.shared.wire.seal import SEAL_BYTES, Seal

SEAL = Seal("0" * 64, 0)
SHAPE = (3, 6, 8)


def quantiser(**changes) -> RateQuantiser:
    settings = {
        "levels": 16,
        "target_bits": (200.0, 400.0),
        "shares": (0.5, 0.5),
        "first_steps": (1.0, 0.5),
        "first_log_price": -6.0,
        **changes,
    }
    made = RateQuantiser(*SHAPE, **settings)
    with torch.no_grad():
        made.log_steps_RC.copy_(torch.tensor([[0.0, 0.5, -0.5], [-1.0, -0.5, -1.5]])[: made.points])
    return made


def features(seed: int = 0, count: int = 40) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.gamma(0.3, 2, (count, *SHAPE)).astype(np.float32))


@pytest.mark.parametrize("point", [0, 1])
def test_in_evaluation_it_gives_what_the_exported_codec_gives(point):
    stage, z = quantiser().eval(), features()
    stage.point = point
    spec = calibrate_lattice(stage.name(point), z.numpy(), stage.steps(point).numpy(), stage.levels)
    body = make_body(spec, FeatureSpec(*SHAPE))
    sent = stage(z)
    for feature, expected in zip(z.numpy(), sent.detach().numpy(), strict=True):
        flat = feature.reshape(3, -1)
        written = body.write(flat, SEAL)
        if len(written) < body.most_bytes - 8:
            np.testing.assert_allclose(
                body.read(written, SEAL).reshape(SHAPE), expected, rtol=1e-5, atol=1e-6
            )


def test_its_tables_are_those_of_the_wire_format():
    stage = quantiser()
    levels = torch.randint(0, 16, (2, *SHAPE), generator=torch.Generator().manual_seed(0))
    rows = stage.rows(levels, torch.tensor([1, 0])).numpy()
    order = coding_order(*SHAPE, CONTEXTS.places)
    for picture, point in enumerate((1, 0)):
        grid = Grid(*SHAPE)
        grid.levels[:] = levels[picture].numpy()
        placed = np.zeros(len(grid.flat), np.int64)
        placed.reshape(3, SHAPE[1] + 1, SHAPE[2] + 1)[:, : SHAPE[1], : SHAPE[2]] = rows[picture]
        for phase, its in enumerate(order.phases):
            positions = order.positions[its]
            sums = grid.sums(phase)[positions] if phase else np.zeros_like(positions)
            channel, place = np.divmod(order.groups[its], CONTEXTS.places)
            row = ((point * 3 + channel) * PHASES + phase) * CONTEXTS.places + place
            assert np.array_equal(placed[positions], row * CONTEXTS.classes + CONTEXTS.of_sums(16)[sums])


def test_bits_are_the_code_lengths_of_what_is_sent_when_levels_are_whole():
    stage = quantiser(target_bits=(200.0,), shares=(1.0,)).train()
    with torch.no_grad():
        stage.log_steps_RC.zero_()
    stage(features().round())
    bits = stage.bits()
    lengths = stage.code_lengths()
    levels = features().round().clamp(0, 15).long()
    expected = lengths[stage.rows(levels, bits.point_N), levels].sum(dim=(1, 2, 3))
    np.testing.assert_allclose(bits.priced_N.detach(), expected, rtol=1e-5)
    np.testing.assert_allclose(bits.sent_N, expected, rtol=1e-5)


def test_bits_of_training_agree_with_bytes_of_the_codec_within_a_byte():
    stage = quantiser(target_bits=(200.0,), shares=(1.0,)).train()
    with torch.no_grad():
        stage.log_steps_RC.fill_(0.3)
    z = features(count=300)
    stage(z)
    bits = stage.bits()
    spec = calibrate_lattice("r1", z.numpy(), stage.steps(0).numpy(), 16)
    body = make_body(spec, FeatureSpec(*SHAPE))
    sizes = [len(body.write(feature.reshape(3, -1), SEAL)) for feature in z.numpy()]
    assert np.mean(sizes) == pytest.approx(4 + float(bits.sent_N.mean()) / 8, abs=1)


def test_a_run_made_with_other_contexts_goes_on_with_fresh_tables():
    stage = quantiser()
    stored = {**stage.state_dict(), "counts_TL": torch.ones(36, 16), "log_price_R": torch.tensor([-3.0, -4])}
    stage.load_state_dict(stored)
    assert stage.log_price_R.tolist() == [-3, -4]
    assert stage.counts_TL.shape == quantiser().counts_TL.shape
    assert not stage.counts_TL.any()


def test_gradients_reach_the_feature_and_the_steps():
    stage = quantiser().train()
    z = features().requires_grad_()
    sent = stage(z)
    (sent.square().mean() + stage.bits().priced_N.mean()).backward()
    assert z.grad is not None
    assert stage.log_steps_RC.grad is not None
    assert z.grad.abs().sum() > 0
    assert (stage.log_steps_RC.grad.abs().sum(dim=1) > 0).all()


def test_a_price_rises_while_bits_are_above_their_target_and_falls_below_it():
    stage = quantiser()
    before = stage.log_price_R.clone()
    stage.steer(torch.tensor([300.0, 300.0]), torch.tensor([0, 1]), speed=0.1)
    assert (stage.log_price_R - before).tolist() == pytest.approx([0.05, -0.025], abs=1e-6)


def test_the_first_rate_point_is_r1():
    assert [quantiser().name(point) for point in (0, 1)] == ["r1", "r2"]


def test_the_defence_survives_json():
    made = SiftFunnelRate(payload_bytes=(50.0, 90.0), shares=(0.25, 0.75))
    assert defence_from_json(made.to_json()) == made


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"payload_bytes": ()}, "one rate point or more"),
        ({"payload_bytes": (90.0, 50.0), "shares": (0.5, 0.5)}, "fewest bytes first"),
        ({"payload_bytes": (4.0, 50.0), "shares": (0.5, 0.5)}, "checksum"),
        ({"shares": (0.5, 0.5)}, "add up to 1"),
    ],
)
def test_rate_points_that_make_no_sense_are_refused(wrong, complaint):
    with pytest.raises(ValueError, match=complaint):
        SiftFunnelRate(**wrong)


def test_steps_are_widened_until_the_codec_keeps_to_its_mean_payload():
    z = features(count=300)
    narrow = quantiser(target_bits=(150.0, 4000.0))
    before = [narrow.steps(point) for point in (0, 1)]
    unfitted = calibrate_lattice("r1", z.numpy(), before[0].numpy(), 16).parameters["mean_bytes"]
    target_bytes = 0.95 * unfitted
    narrow.targets_R[0] = 8 * (target_bytes - SEAL_BYTES)
    fitted = [fit_rate_point(narrow, point, z.numpy()) for point in (0, 1)]
    assert 0.93 * target_bytes < fitted[0].parameters["mean_bytes"] <= target_bytes
    ratios = narrow.steps(0) / before[0]
    assert 1 < float(ratios[0]) < MOST_WIDENED
    torch.testing.assert_close(ratios, ratios[:1].expand(3))
    # one that costs less than it may stays as it was trained
    assert torch.equal(narrow.steps(1), before[1])
    narrow.targets_R[0] = 1.0
    given = narrow.steps(0)
    fit_rate_point(narrow, 0, z.numpy())
    torch.testing.assert_close(narrow.steps(0), given * MOST_WIDENED)


def test_what_was_lately_spent_is_told_against_the_target():
    stage = quantiser(target_bits=(100.0, 400.0)).train()
    assert stage.excess().tolist() == [0, 0]
    for _ in range(2000):
        stage.steer(torch.tensor([150.0, 390.0]), torch.tensor([0, 1]), 0.0)
    torch.testing.assert_close(stage.excess(), torch.tensor([0.5, 0.0]))
