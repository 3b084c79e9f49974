"""The cloud half's own weights, trained with labels: what changes, what does not, and what is refused."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from siftfunnel.cli import main
from siftfunnel.lab.data.images import DataError
from siftfunnel.lab.onnx_graphs import weights
from siftfunnel.lab.split.distillation import FunnelTask
from siftfunnel.lab.split.exporting import export_run
from siftfunnel.lab.split.finetuning import learned_names
from siftfunnel.lab.split.folder import SplitRun, load_run
from siftfunnel.lab.split.halves import Halves
from siftfunnel.lab.split.settings import FitSettings, TrainSettings, byte_targets
from siftfunnel.lab.split.train import train_run
from siftfunnel.lab.training.checkpoints import RunFolderError
from tests.lab.split import cutnets
from tests.lab.split.cutnets import quiet

COUNT = 240
SETTINGS = TrainSettings(
    steps=60, steps_per_check=20, batch_size=32, finetune=True, label_weight=10, weights_rate=6.0
)


@lru_cache
def truth() -> tuple[str, ...]:
    """The network's classes, but its two commonest are in truth one."""
    _, seen = cutnets.seen(cutnets.classifier(), COUNT, seed=5)
    said = seen.outputs[0].argmax(1)
    common = np.bincount(said).argsort()[-2:]
    return tuple(str(each) for each in np.where(np.isin(said, common), common[0], said))


def _pictures(place: Path, labels: tuple[str, ...] | None) -> Path:
    for number, picture in enumerate(cutnets.pictures(COUNT, seed=5)):
        home = place / labels[number] if labels else place
        home.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(home / f"{number}.png")
    return place


def _fitted(halves: Halves, pictures: Path, out: Path) -> Path:
    cutnets.fitted(halves, pictures, out, FitSettings(targets=byte_targets("80,50")), side=2)
    return out


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("finetuning")
    return _fitted(cutnets.classifier(), _pictures(home / "pictures", truth()), home / "run")


@pytest.fixture(scope="module")
def tuned(run: Path) -> tuple[SplitRun, Path]:
    """A fine-tuned run and its folder."""
    folder = run.with_name("tuned")
    return train_run(run, folder, SETTINGS, quiet), folder


@pytest.fixture(scope="module")
def trained(run: Path) -> tuple[SplitRun, Path]:
    """A run that was trained without labels, and its folder."""
    folder = run.with_name("trained")
    return train_run(run, folder, replace(SETTINGS, finetune=False), quiet), folder


def test_accuracy_rises_and_the_bundle_says_that_the_network_is_another(
    tuned: tuple[SplitRun, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, folder = tuned
    told = made.about["train"]
    assert told["accuracy_finetuned"] > told["accuracy_frozen"] + 0.1
    bundle = export_run(folder, tmp_path / "bundle", quiet)
    report = bundle.report()
    assert bundle.manifest.original_sha256 == "0" * 64
    assert report["finetuned"]["accuracy_finetuned"] == told["accuracy_finetuned"]
    default = report["codecs"][bundle.manifest.default_codec]
    assert main(["bundle", "show", str(tmp_path / "bundle")]) == 0
    assert f"{'0' * 64}; its cloud half was trained on" in capsys.readouterr().out
    # agreement is with the original, accuracy of what is served
    assert default["accuracy"] > report["uncut"]["accuracy"]
    assert default["agreement"] < default["accuracy"]


def test_only_the_learned_initialisers_of_the_cloud_half_change(tuned: tuple[SplitRun, Path]) -> None:
    made, folder = tuned
    again = load_run(folder)
    assert again.weights.keys() == made.weights.keys() == {"w", "v"}
    before, after = onnx.ModelProto(), onnx.ModelProto()
    before.CopyFrom(made.halves.cloud)
    after.CopyFrom(again.own_halves.cloud)
    for name, tensor in weights(after.graph).items():
        assert (
            np.abs(numpy_helper.to_array(tensor) - numpy_helper.to_array(weights(before.graph)[name])).max()
            > 0
        )
    del before.graph.initializer[:], after.graph.initializer[:]
    assert before == after
    assert again.own_halves.edge == made.halves.edge


def test_without_the_flag_every_weight_stays_bit_for_bit(
    run: Path, trained: tuple[SplitRun, Path], tmp_path: Path
) -> None:
    original = weights(load_run(run).halves.cloud.graph)
    bundle = export_run(trained[1], tmp_path / "bundle", quiet)
    assert bundle.report()["finetuned"] is None
    served = [
        numpy_helper.to_array(t) for t in onnx.load(tmp_path / "bundle" / "cloud.onnx").graph.initializer
    ]
    for tensor in original.values():
        values = numpy_helper.to_array(tensor)
        assert any(np.array_equal(values, found) for found in served)


def test_a_fine_tuning_goes_on_where_it_stopped(
    run: Path, tuned: tuple[SplitRun, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = tuned
    original, left = FunnelTask.loss, [25]

    def stop_within(task: FunnelTask, batch: object) -> object:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return original(task, batch)  # a batch

    with monkeypatch.context() as patch:
        patch.setattr(FunnelTask, "loss", stop_within)
        with pytest.raises(KeyboardInterrupt):
            train_run(run, tmp_path / "run", SETTINGS, quiet)
    again = train_run(run, tmp_path / "run", SETTINGS, quiet)
    for name, values in whole.weights.items():
        np.testing.assert_allclose(again.weights[name], values, atol=1e-5)
    with pytest.raises(RunFolderError, match="other settings"):
        train_run(run, tmp_path / "run", replace(SETTINGS, weights_rate=1.0), quiet)


def test_labels_may_come_from_a_table_and_some_may_lack(tmp_path: Path) -> None:
    pictures = _pictures(tmp_path / "pictures", None)
    table = tmp_path / "labels.csv"
    table.write_text("".join(f"{n}.png,{label}\n" for n, label in enumerate(truth()) if n % 10))
    _fitted(cutnets.classifier(), pictures, tmp_path / "run")
    said: list[str] = []
    made = train_run(tmp_path / "run", tmp_path / "tuned", SETTINGS, said.append, labels=table)
    assert made.labels == table
    assert made.about["train"]["accuracy_finetuned"] > made.about["train"]["accuracy_frozen"]
    assert any("only distilled" in line for line in said)
    report = export_run(tmp_path / "tuned", tmp_path / "bundle", quiet).report()
    assert report["uncut"]["accuracy"] > 0


def test_what_is_no_better_in_accuracy_is_not_kept(run: Path, tmp_path: Path) -> None:
    # weights that hardly move leave every answer what it was
    still = replace(SETTINGS, steps=1, steps_per_check=1, learning_rate=1e-9)
    said: list[str] = []
    made = train_run(run, tmp_path / "tuned", still, said.append)
    assert not made.about["train"]["is_better"]
    assert not made.weights
    assert any("stays as it was" in line for line in said)


def test_a_training_goes_on_from_a_trained_run(trained: tuple[SplitRun, Path], tmp_path: Path) -> None:
    first, folder = trained
    second = train_run(folder, tmp_path / "second", replace(SETTINGS, steps=1), quiet)
    assert first.about["train"]["is_better"]
    # both are means over the rate points, whose steps were mended by real payloads in between
    assert second.about["train"]["divergence_linear"] == pytest.approx(
        first.about["train"]["divergence_trained"], rel=0.2
    )


def test_a_run_is_not_trained_over(run: Path, tmp_path: Path) -> None:
    before = (run / "run.json").read_bytes()
    with pytest.raises(RunFolderError, match="choose another --out"):
        train_run(run, run, SETTINGS, quiet)
    assert (run / "run.json").read_bytes() == before
    # nothing is read or computed first, whatever lies there
    with pytest.raises(RunFolderError, match="which stays what it is: choose another --out"):
        train_run(tmp_path / "trained", tmp_path / "." / "trained", SETTINGS, quiet)


def test_labels_and_finetune_belong_together(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("0.png,3\n")
    assert main(["split", "train", str(run), "--labels", str(table)]) == 2
    assert "--finetune" in capsys.readouterr().err
    without = _pictures(tmp_path / "flat", None)
    asked = ["split", "train", str(run), "--finetune", "--out", str(tmp_path / "tuned")]
    assert main([*asked, "--images", str(without)]) != 0
    assert "a folder for each class, or --labels CSV" in capsys.readouterr().err
    other = _pictures(tmp_path / "other", tuple(f"kind {number % 7}" for number in range(COUNT)))
    assert main([*asked, "--images", str(other)]) != 0
    assert "no id, name or number" in capsys.readouterr().err
    assert not (tmp_path / "tuned").exists()


def test_a_network_without_classes_cannot_be_fine_tuned(run: Path, tmp_path: Path) -> None:
    _fitted(cutnets.classifier("embedding"), load_run(run).pictures, tmp_path / "run")
    with pytest.raises((DataError, ValueError), match="ranks classes"):
        train_run(tmp_path / "run", tmp_path / "tuned", SETTINGS, quiet)


def test_weights_are_what_learned_operators_alone_read() -> None:
    model = cutnets.classifier().cloud
    assert set(learned_names(model)) == {"w", "v"}
    quantised = onnx.ModelProto()
    quantised.CopyFrom(model)
    quantised.graph.node.append(onnx.helper.make_node("DequantizeLinear", ["x", "v"], ["y"]))
    assert set(learned_names(quantised)) == {"w"}
