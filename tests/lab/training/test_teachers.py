"""What trained bundles say of pictures, and how a smaller network is held to it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from siftfunnel.lab.data.images import DataError
from siftfunnel.lab.defences.losses import LossWeights, label_divergence, siftfunnel_loss, smoothed_labels
from siftfunnel.lab.defences.siftfunnel_rate import SiftFunnelRate
from siftfunnel.lab.networks.registry import build_network
from siftfunnel.lab.onnx_runner import Runner
from siftfunnel.lab.training.recipes import recipe, recipe_from_json
from siftfunnel.lab.training.runs import train_recipe
from siftfunnel.lab.training.teachers import soft_labels
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.preprocess import normalise
from tests.lab.graphs.test_unfolding import bundle_of, trained_like
from tests.lab.pictures import coloured_set, write_data_directory
from tests.lab.training.test_runs import tiny

CPU = torch.device("cpu")
CLASSES = ("blue", "green", "red")


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    folder = tmp_path_factory.mktemp("teachers")
    made = []
    for number, architecture in enumerate(("cnn-unprotected", "cnn-siftfunnel")):
        torch.manual_seed(number)
        network = build_network(architecture, width=32, input_size=32, num_classes=3).eval()
        made.append(bundle_of(network, folder / architecture, classes=CLASSES))
    return made


def test_soft_labels_are_the_mean_of_every_teacher_and_both_mirror_images(teachers: list[Bundle]) -> None:
    images = replace(coloured_set(12), classes=CLASSES)
    told = soft_labels([teacher.directory for teacher in teachers], images)
    assert told.shape == (12, 3)
    torch.testing.assert_close(told.sum(dim=1), torch.ones(12))
    expected = []
    for teacher in teachers:
        edge, cloud = (Runner(teacher.path(f"{half}.onnx")) for half in ("edge", "cloud"))
        for seen in (images.images_NHWC, images.images_NHWC[:, :, ::-1]):
            logits = cloud.first(edge.first(normalise(np.ascontiguousarray(seen), teacher.manifest.input)))
            expected.append(torch.from_numpy(logits).softmax(dim=1))
    torch.testing.assert_close(told, torch.stack(expected).mean(dim=0), rtol=1e-4, atol=1e-5)
    mirrored = replace(images, images_NHWC=np.ascontiguousarray(images.images_NHWC[:, :, ::-1]))
    torch.testing.assert_close(soft_labels([t.directory for t in teachers], mirrored), told)


def test_a_teacher_that_does_not_fit_is_refused(teachers: list[Bundle], tmp_path) -> None:
    images = replace(coloured_set(4), classes=CLASSES)
    with pytest.raises(DataError, match="one teacher or more"):
        soft_labels([], images)
    with pytest.raises(DataError, match="answers other classes"):
        soft_labels([bundle_of(trained_like("cnn-siftfunnel"), tmp_path / "ten").directory], images)
    small = replace(images, images_NHWC=images.images_NHWC[:, :16, :16])
    with pytest.raises(DataError, match="takes 32x32 pictures, these are 16x16"):
        soft_labels([teachers[0].directory], small)


def test_with_teachers_the_target_is_a_mixture_that_the_loss_is_zero_at() -> None:
    labels, taught = torch.tensor([0, 2]), torch.tensor([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]])
    target = 0.25 * taught + 0.75 * smoothed_labels(labels, 3, 0.35)
    assert float(label_divergence(target.log(), labels, 0.35, taught, 0.25)) == pytest.approx(0, abs=1e-6)
    assert float(label_divergence(target.log(), labels, 0.35)) > 0.01


def test_without_a_share_teachers_change_nothing() -> None:
    x, z, logits = torch.randn(4, 3, 8, 8), torch.rand(4, 2, 4, 4), torch.randn(4, 3)
    labels = torch.tensor([0, 1, 2, 0])
    plain = siftfunnel_loss(x, z, logits, labels, LossWeights())
    taught = siftfunnel_loss(x, z, logits, labels, LossWeights(), taught_NK=torch.full((4, 3), 1 / 3))
    assert torch.equal(plain.total, taught.total)


def test_a_recipe_with_teachers_wants_all_of_them_and_is_trained_with_them(
    teachers: list[Bundle], tmp_path
) -> None:
    wanted = tiny(recipe("cifar10_siftfunnel_rate_gentle"), width=32, teachers=("one", "other"))
    assert recipe_from_json(wanted.to_json()) == wanted
    data = write_data_directory(tmp_path / "data", train=60, test=12)
    start = teachers[1].directory
    places = [teacher.directory for teacher in teachers]
    with pytest.raises(ValueError, match=r"has these teachers: one, other; give each one's .* got 1"):
        train_recipe(wanted, tmp_path / "run", data, None, CPU, start, places[:1])
    taught = train_recipe(wanted, tmp_path / "run", data, None, CPU, start, places)
    assert isinstance(wanted.defence, SiftFunnelRate)
    alone = replace(wanted, teachers=(), defence=replace(wanted.defence, taught_share=0.0))
    without = train_recipe(alone, tmp_path / "alone", data, None, CPU, start)
    assert taught.history[0]["kl"] != without.history[0]["kl"]


def test_a_recipe_without_teachers_refuses_one_instead_of_ignoring_it(
    teachers: list[Bundle], tmp_path
) -> None:
    data = write_data_directory(tmp_path / "data", train=60, test=12)
    scratch = tiny(recipe("cifar10_unprotected"))
    with pytest.raises(ValueError, match=r"has these teachers: none; .* got 1"):
        train_recipe(scratch, tmp_path / "run", data, None, CPU, teachers=[teachers[0].directory])
