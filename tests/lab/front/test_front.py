"""A whole front of tiny bundles: measured, attacked, continued, refused."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from siftfunnel.cli import main
from siftfunnel.lab.attacks.doubled import Doubled
from siftfunnel.lab.attacks.fingerprint import victim_fingerprint
from siftfunnel.lab.attacks.registry import make_attack
from siftfunnel.lab.attacks.stored import StoredInverter
from siftfunnel.lab.attacks.victim import Victim
from siftfunnel.lab.data.images import DataError
from siftfunnel.lab.data.picture_coding import PictureCoding
from siftfunnel.lab.front.front import measure_front
from siftfunnel.lab.front.leakage import LeakageSettings
from siftfunnel.lab.front.points import Front, FrontError, find_point, read_front
from siftfunnel.lab.front.request import FrontRequest
from siftfunnel.lab.study.sizes import PROFILES
from siftfunnel.lab.targets import through_codec as wire_module
from siftfunnel.lab.targets.target import target_of_bundle
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.wire import CodecError, codec_by_name, make_codecs
from tests.lab.pictures import CLASSES, write_data_directory
from tests.tinybundle import make_tiny_bundle, make_tiny_inverter

CPU = torch.device("cpu")
CODINGS = (PictureCoding("jpeg", 50), PictureCoding("webp", 50), PictureCoding("raw"))
RESIDUAL = make_attack("residual", epochs=1, widths=(8, 8, 8), blocks=(1, 0, 0), batch=16)
RMLE = make_attack(
    "rmle",
    iterations=3,
    restarts=1,
    learning_rates=(0.1,),
    tv_weights=(0.0,),
    prior_weights=(0.1,),
    spaces=("whitened",),
)
LEAKAGE = LeakageSettings((RESIDUAL, RMLE), attacked=9, auxiliary=40, profile="tiny")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data_directory(tmp_path_factory.mktemp("data"), train=240, test=30, size=16)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny(tmp_path_factory.mktemp("bundles") / "funnel", name="funnel", defence="siftfunnel")


@pytest.fixture(scope="module")
def unprotected(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny(tmp_path_factory.mktemp("bundles") / "plain", name="plain", seed=3)


def tiny(folder: Path, **change: Any) -> Bundle:
    fitting = {"classes": CLASSES, "shape": (4, 4, 4), "input_size": 16, **change}
    return make_tiny_bundle(folder, **fitting)


def request_for(bundles: list[Bundle], data: Path, out: Path, **change: Any) -> FrontRequest:
    plain = FrontRequest(
        bundles=tuple(bundle.directory for bundle in bundles),
        dataset="cifar10",
        out=out / "front.json",
        data=data,
        codings=CODINGS,
        rounds=3,
        runs=out / "runs",
    )
    return replace(plain, **change)


@pytest.fixture(scope="module")
def measured(
    bundle: Bundle, unprotected: Bundle, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Front, FrontRequest]:
    wanted = request_for(
        [bundle],
        data,
        tmp_path_factory.mktemp("out"),
        unprotected=unprotected.directory,
        leakage=LEAKAGE,
        leakage_of=("q4",),
    )
    return measure_front(wanted, CPU, lambda text: None), wanted


def quiet(text: str) -> None:
    """No progress is shown."""


def test_every_codec_and_every_way_of_sending_the_picture_is_a_point(
    measured: tuple[Front, FrontRequest], bundle: Bundle
) -> None:
    front, wanted = measured
    codecs = [spec.name for spec in bundle.manifest.codecs]
    assert [p["codec"] for p in front["points"]] == [*codecs, "jpeg-q50", "webp-q50", "raw"]
    assert read_front(wanted.out) == front
    assert all(point["pictures"] == 30 for point in front["points"])
    assert all(point["encode_us"] > 0 and point["decode_us"] > 0 for point in front["points"])


def test_bytes_of_a_codec_are_those_of_its_payloads(measured: tuple[Front, FrontRequest]) -> None:
    point = find_point(measured[0], "funnel", "fp32")
    assert point is not None
    size = 4 * 4 * 4 * 4 + 4
    found = [point[f"payload_bytes_{part}"] for part in ("mean", "p99", "max")]
    assert found == [size, size, size]
    assert point["feature_bytes_fp32"] == size - 4
    assert point["payload_bytes_ceiling"] == size


def test_only_the_named_codec_was_attacked_and_the_strongest_attack_is_on_top(
    measured: tuple[Front, FrontRequest],
) -> None:
    attacked = [point for point in measured[0]["points"] if point["leakage"] is not None]
    assert [point["codec"] for point in attacked] == ["q4", "jpeg-q50", "webp-q50", "raw"]
    leaked = attacked[0]["leakage"]
    assert set(leaked["all"]) == {"residual", "rmle"}
    assert leaked["psnr_db"] == max(entry["psnr_db"] for entry in leaked["all"].values())
    assert leaked["pictures"] == 9
    # what every version of the lab got
    found = {name: entry["psnr_db"] for name, entry in leaked["all"].items()}
    assert found == pytest.approx({"residual": 13.677, "rmle": 16.873}, abs=0.05)
    assert attacked[-1]["leakage"]["psnr_db"] == 100.0


def test_what_is_there_is_kept_and_more_attacks_are_added(
    measured: tuple[Front, FrontRequest], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    front, wanted = measured
    out = tmp_path / "front.json"
    out.write_bytes(wanted.out.read_bytes())
    monkeypatch.setattr("siftfunnel.lab.front.front.codec_points", pytest.fail)
    monkeypatch.setattr("siftfunnel.lab.front.front.picture_points", pytest.fail)
    few = replace(LEAKAGE, attacks=(RESIDUAL,))
    again = measure_front(replace(wanted, out=out, leakage=few, leakage_of=("q5",)), CPU, quiet)
    for point in again["points"]:
        old = find_point(front, point["bundle"], point["codec"])
        assert old is not None
        same = {key: value for key, value in point.items() if key != "leakage"}
        assert same == {key: value for key, value in old.items() if key != "leakage"}
    q4, q5 = (find_point(again, "funnel", name) for name in ("q4", "q5"))
    assert q4 is not None
    assert q5 is not None
    assert set(q4["leakage"]["all"]) == {"residual", "rmle"}
    assert set(q5["leakage"]["all"]) == {"residual"}


def test_attacks_of_another_front_are_taken_over_where_bundle_and_pictures_are_the_same(
    measured: tuple[Front, FrontRequest], data: Path, bundle: Bundle, tmp_path: Path
) -> None:
    theirs, elsewhere = measured
    wanted = request_for(
        [bundle], data, tmp_path, leakage=LEAKAGE, leakage_of=(), leakage_from=(elsewhere.out,)
    )
    front = measure_front(wanted, CPU, quiet)
    for codec in ("q4", "q5"):
        ours, other = (find_point(one, "funnel", codec) for one in (front, theirs))
        assert ours is not None
        assert other is not None
        assert ours["leakage"] == other["leakage"]
    with pytest.raises(FrontError, match=r"attacked on other pictures .* same --attacked"):
        measure_front(replace(wanted, leakage=replace(LEAKAGE, attacked=6)), CPU, quiet)


def test_points_of_an_older_bundle_of_that_name_are_dropped(
    measured: tuple[Front, FrontRequest], tmp_path: Path
) -> None:
    _, wanted = measured
    out = tmp_path / "front.json"
    out.write_bytes(wanted.out.read_bytes())
    newer = tiny(tmp_path / "newer", name="funnel", defence="siftfunnel", seed=8)
    front = measure_front(replace(wanted, out=out, bundles=(newer.directory,), leakage=None), CPU, quiet)
    assert {p["digest"] for p in front["points"] if p["bundle"] == "funnel"} == {newer.digest}
    assert all(p["leakage"] is None for p in front["points"] if p["bundle"] == "funnel")


def test_the_attacker_sees_what_the_codec_leaves(bundle: Bundle) -> None:
    target = target_of_bundle(bundle.directory, CPU)
    victim = target.hearing("q4").victim
    codec = codec_by_name(make_codecs(bundle.manifest, bundle.digest), "q4")
    x_NCHW = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    clean = target.victim.features(x_NCHW).numpy()
    wanted = np.stack([codec.decode(codec.encode(feature)) for feature in clean])
    assert not np.array_equal(clean, wanted)
    for _ in range(2):
        assert np.array_equal(victim.observe(x_NCHW).numpy(), wanted)


def test_a_feature_is_coded_once_however_often_it_is_seen(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = target_of_bundle(bundle.directory, CPU).hearing("q4").victim
    z = victim.features(torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(2)))
    first = victim.transmit(z)
    monkeypatch.setattr("siftfunnel.shared.wire.codec.SealedCodec.encode", pytest.fail)
    assert torch.equal(victim.transmit(z), first)


def test_without_room_features_are_coded_every_time(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_module, "CACHE_BYTES", 0)
    victim = target_of_bundle(bundle.directory, CPU).hearing("q4").victim
    z = victim.features(torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(2)))
    assert torch.equal(victim.transmit(z), victim.transmit(z))


def test_victims_of_two_codecs_are_not_taken_for_each_other(bundle: Bundle) -> None:
    target = target_of_bundle(bundle.directory, CPU)
    victims: list[Victim] = [target.victim, *(target.hearing(name).victim for name in ("q4", "q5"))]
    assert len({victim_fingerprint(victim) for victim in victims}) == 3


def test_the_studys_budgets_are_found_by_name_in_its_order() -> None:
    settings = LeakageSettings.of_profile(PROFILES["cpu"], ("refined-rmle", "residual", "rmle"))
    assert [attack.name for attack in settings.attacks] == ["rmle", "residual", "refined-rmle"]
    assert (settings.attacked, settings.auxiliary) == (256, 10_000)
    with pytest.raises(ValueError, match="no attack 'guess' in profile cpu"):
        LeakageSettings.of_profile(PROFILES["cpu"], ("guess",))


def test_what_does_not_fit_is_refused_with_what_to_do(bundle: Bundle, data: Path, tmp_path: Path) -> None:
    def refuses(wanted: FrontRequest, kind: type[Exception], message: str) -> None:
        with pytest.raises(kind, match=message):
            measure_front(wanted, CPU, quiet)

    other_size = tiny(tmp_path / "large", name="large", input_size=32)
    other_classes = tiny(tmp_path / "named", name="named", classes=("a", "b", "c"))
    refuses(request_for([], data, tmp_path), FrontError, "nothing to measure")
    refuses(request_for([bundle, other_size], data, tmp_path), FrontError, "16x16, 32x32")
    refuses(request_for([other_classes], data, tmp_path), DataError, "does not know the class 'blue'")
    unknown = request_for([bundle], data, tmp_path, leakage=LEAKAGE, leakage_of=("q99",))
    refuses(unknown, FrontError, "no codec 'q99'")
    with pytest.raises(CodecError, match="no codec 'q99'"):
        target_of_bundle(bundle.directory, CPU).hearing("q99")


def test_a_file_of_other_pictures_is_not_added_to(
    measured: tuple[Front, FrontRequest], tmp_path: Path
) -> None:
    _, wanted = measured
    out = tmp_path / "front.json"
    out.write_bytes(wanted.out.read_bytes())
    with pytest.raises(FrontError, match="pictures_sha256 differs"):
        measure_front(replace(wanted, out=out, pictures=12), CPU, quiet)


def test_the_command_writes_a_front(
    bundle: Bundle, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "front.json"
    argv = ["lab", "front", str(bundle.directory), "--dataset", "cifar10", "--data", str(data)]
    assert main([*argv, "--out", str(out), "--pictures", "12", "--threads", "1"]) == 0
    assert "8 points, 0 of them with leakage" in capsys.readouterr().out
    assert read_front(out)["pictures"] == 12


def test_a_bundles_stored_inverter_is_among_the_attacks_and_is_trained_on(
    bundle: Bundle, data: Path, tmp_path: Path
) -> None:
    inverters = tmp_path / "inverters"
    make_tiny_inverter(inverters / "own", bundle)
    make_tiny_inverter(inverters / "another", tiny(tmp_path / "another", name="another", seed=5))
    attacks = (RESIDUAL, StoredInverter(), Doubled())
    settings = replace(LEAKAGE, attacks=attacks, inverters=(inverters,))
    wanted = request_for([bundle], data, tmp_path, leakage=settings, leakage_of=("q4",))
    point = find_point(measure_front(wanted, CPU, quiet), "funnel", "q4")
    assert point is not None
    leaked = point["leakage"]
    assert set(leaked["all"]) == {"residual", "stored-inverter", "doubled"}
    assert leaked["psnr_db"] == max(entry["psnr_db"] for entry in leaked["all"].values())
    each = [leaked["all"][name]["psnr_db_per_image"] for name in ("doubled", "stored-inverter")]
    assert leaked["convergence"]["gain_db"] == pytest.approx(np.mean(each[0]) - np.mean(each[1]))


def test_what_is_doubled_is_run_too_and_a_bundle_without_a_stored_inverter_doubles_another(
    bundle: Bundle,
) -> None:
    settings = replace(LEAKAGE, attacks=(StoredInverter(), Doubled.of(RESIDUAL)))
    assert settings.against(bundle.digest) == (RESIDUAL, Doubled.of(RESIDUAL))


def test_stored_inverters_are_found_beside_the_bundles_folder(
    bundle: Bundle, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = shutil.copytree(bundle.directory, tmp_path / "bundles" / "funnel")
    make_tiny_inverter(tmp_path / "inverters" / "own", bundle)
    out = tmp_path / "front.json"
    argv = ["lab", "front", str(place), "--dataset", "cifar10", "--data", str(data), "--out", str(out)]
    attack = ["--leakage-of", "q4", "--attacks", "stored-inverter", "--attacked", "9", "--auxiliary", "30"]
    assert main([*argv, *attack, "--runs", str(tmp_path / "runs"), "--threads", "1"]) == 0
    assert "8 points, 1 of them with leakage" in capsys.readouterr().out
    point = find_point(read_front(out), "funnel", "q4")
    assert point is not None
    assert point["leakage"]["attack"] == "stored-inverter"
    assert str(tmp_path) not in out.read_text()
