import pytest
import torch

from siftfunnel.lab.networks.registry import build_network
from siftfunnel.lab.networks.split import SplitNetwork
from siftfunnel.lab.training.recipes import recipe
from siftfunnel.lab.training.warmstart import RestoringTask, copy_shared_blocks, keep_signal_size
from tests.lab.pictures import coloured_set
from tests.lab.training.test_runs import splits_of, tiny


def pair(width: int = 32) -> tuple[SplitNetwork, SplitNetwork]:
    torch.manual_seed(0)
    source = build_network("cnn-unprotected", width=width, input_size=32, num_classes=10)
    return source, build_network("cnn-siftfunnel", width=32, input_size=32, num_classes=10)


def test_block_1_and_all_after_the_restored_feature_are_copied() -> None:
    source, target = pair()
    copy_shared_blocks(source, target)
    feature = torch.randn(2, 64, 8, 8)
    x = torch.randn(2, 3, 32, 32)
    source.eval()
    target.eval()
    torch.testing.assert_close(target.edge[0](x), source.edge[0](x))
    torch.testing.assert_close(target.cloud[2:](feature), source.cloud(feature))


def test_networks_of_other_widths_do_not_mix() -> None:
    source, target = pair(width=16)
    with pytest.raises(ValueError, match="differ in family, width"):
        copy_shared_blocks(source, target)


def test_only_an_unprotected_network_can_be_copied_into_a_funnel() -> None:
    source, target = pair()
    with pytest.raises(ValueError, match="unprotected network to a funnel"):
        copy_shared_blocks(target, source)


def test_the_neck_keeps_the_size_of_its_signal() -> None:
    _, funnel = pair()
    x = torch.randn(16, 8, 8, 8)
    shrunk = float(funnel.edge[4](x).detach().std())
    keep_signal_size(funnel)
    kept = float(funnel.edge[4](x).detach().std())
    assert shrunk < 0.05
    assert kept > 4 * shrunk


def test_the_fit_lowers_the_unexplained_variance() -> None:
    torch.manual_seed(0)
    source = build_network("cnn-unprotected", width=32, input_size=32, num_classes=3)
    wanted = tiny(recipe("cifar10_siftfunnel"))
    task = RestoringTask(wanted, splits_of(coloured_set(64)), torch.device("cpu"), source)
    optimizer = torch.optim.Adam(task.model.parameters(), 3e-3)
    batch = next(iter(task.batches(torch.Generator().manual_seed(0))))
    unexplained = []
    for _ in range(12):
        loss, logged = task.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        unexplained.append(logged["unexplained"])
    assert unexplained[-1] < 0.8 * unexplained[0]
