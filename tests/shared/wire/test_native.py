"""The compiled levels of a lattice codec and NumPy's: the same of the same, and no memory but their own."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from siftfunnel.shared.wire import lattice_levels
from siftfunnel.shared.wire.compiled import REVISION, native
from siftfunnel.shared.wire.lattice import PHASES, Contexts
from siftfunnel.shared.wire.lattice_levels import Layout, Levels, NativeLevels, NumpyLevels, make_levels

ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT / "shared" / "wire" / "native.c"
HEADERS = Path(sysconfig.get_paths()["include"])
COMPILER = shutil.which("cc") if (HEADERS / "Python.h").is_file() else None

needs_native = pytest.mark.skipif(native is None, reason="not built: there was no compiler")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler, or no headers of Python")


def layout(seed: int, *, channels: int, height: int, width: int, levels: int, places: int) -> Layout:
    random = np.random.default_rng(seed)
    bounds = tuple(sorted(random.choice(np.arange(1, 4 * (levels - 1)), size=3, replace=False).tolist()))
    contexts = Contexts(bounds, places)
    sent = random.permutation(channels)[: random.integers(1, channels + 1)].astype(np.intp)
    tables = int(random.integers(1, 8))
    shape = (len(sent), *contexts.shape)
    return Layout(
        channels=channels,
        height=height,
        width=width,
        levels=levels,
        sent=sent,
        steps=random.uniform(0.01, 3, len(sent)).astype(np.float32),
        contexts=contexts,
        choices=random.integers(0, tables, shape, dtype=np.uint8),
        tables=tables,
    )


def features_for(made: Layout, seed: int, scale: float) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    shape = (made.channels, made.height * made.width)
    values = random.standard_normal(shape) * scale * (random.random((made.channels, 1)) < 0.7)
    # halves of a step, which round to even
    ties = random.random(shape) < 0.1
    steps = np.ones(made.channels)
    steps[made.sent] = made.steps
    return np.where(ties, np.round(values) * steps[:, None] / 2, values).astype(np.float32)


layouts = st.builds(
    layout,
    st.integers(0, 2**32 - 1),
    channels=st.integers(1, 9),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    levels=st.integers(4, 64),
    places=st.integers(1, 2),
)


def both(made: Layout) -> tuple[Levels, Levels]:
    assert native is not None
    return NumpyLevels(made), NativeLevels(made, native)


@needs_compiler
def test_it_is_built_where_there_is_a_compiler_and_used_where_it_is_built() -> None:
    assert native is not None, "install the project again: pip install --editable ."
    assert native.REVISION == REVISION
    assert isinstance(make_levels(layout(0, channels=2, height=2, width=2, levels=4, places=1)), NativeLevels)


def test_numpy_serves_where_it_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lattice_levels, "native", None)
    assert isinstance(make_levels(layout(0, channels=2, height=2, width=2, levels=4, places=1)), NumpyLevels)


@needs_native
@settings(deadline=None, max_examples=200)
@given(layouts, st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.1, 1.0, 20.0, 1e30]), st.integers(0, 8))
def test_both_sort_and_fill_alike(made: Layout, seed: int, scale: float, coarser: int) -> None:
    features = features_for(made, seed, scale)
    plain, compiled = both(made)
    expected, found = plain.sort(features, coarser), compiled.sort(features, coarser)
    assert found.told == expected.told
    assert found.runs == expected.runs
    used = len(expected.symbols)
    np.testing.assert_array_equal(found.symbols[:used], expected.symbols)
    flags = expected.told[1 : 1 + len(made.sent)]
    restored = []
    for levels in (plain, compiled):
        filling, runs, at = levels.begin(flags), [], 1 + len(made.sent)
        while filling.runs is not None:
            pieces = []
            for table, start, end in filling.runs:
                pieces.append(expected.symbols[at : at + end - start])
                runs.append((table, at, at := at + end - start))
            filling.fill(pieces)
        told, values = filling.finish(coarser)
        assert told == expected.told
        assert runs == expected.runs
        restored.append(values)
    np.testing.assert_array_equal(*restored)
    steps = np.ldexp(made.steps, coarser)[:, None]
    clipped = np.clip(features[made.sent], 0, (made.levels - 1) * made.steps[:, None])
    assert (np.abs(restored[1][made.sent] - clipped) <= steps * 0.5001).all()


@needs_native
def test_features_that_do_not_lie_in_one_piece_are_sorted_alike() -> None:
    made = layout(3, channels=4, height=5, width=6, levels=8, places=2)
    features = features_for(made, 3, 2.0)
    plain, compiled = both(made)
    assert compiled.sort(np.asfortranarray(features), 0).told == plain.sort(features, 0).told


@needs_native
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_found_wherever_it_is(value: float) -> None:
    assert native is not None
    values = np.full(37, np.float32(3.4e38))
    assert native.all_finite(values)
    for at in range(len(values)):
        broken = values.copy()
        broken[at] = value
        assert not native.all_finite(broken)


@needs_native
def test_what_does_not_fit_is_refused() -> None:
    assert native is not None
    made = layout(5, channels=3, height=4, width=4, levels=8, places=1)
    keys = made.keys()
    sent, steps = made.sent.astype(np.int32), made.steps
    sizes = (3, 4, 4, 8, 1, made.tables)
    lattice = native.prepare(*sizes, sent, steps, keys)
    for wrong in (
        (0, 4, 4, 8, 1, made.tables),
        (3, 4, -4, 8, 1, made.tables),
        (3, 4, 4, 65, 1, made.tables),
        (3, 4, 4, 8, 3, made.tables),
        (3, 4, 4, 8, 1, 86),
        (3, 2**20, 2**20, 8, 1, made.tables),
    ):
        with pytest.raises(ValueError, match="sizes"):
            native.prepare(*wrong, sent, steps, keys)
    with pytest.raises(ValueError, match="channel that the feature does not have"):
        native.prepare(*sizes, sent + 3, steps, keys)
    with pytest.raises(ValueError, match="table that it does not have"):
        native.prepare(*sizes, sent, steps, keys + np.uint8(made.tables))
    features = np.zeros((3, 16), np.float32)
    symbols = np.empty(1 + len(sent) * 17, np.int32)
    for lesser in ((features[:2], symbols, 0), (features, symbols[1:], 0), (features, symbols, -1)):
        with pytest.raises(ValueError, match="size"):
            native.sort(lattice, *lesser)
    with pytest.raises(ValueError, match="flags are not as many"):
        native.begin(lattice, bytes(len(sent) + 1))
    with pytest.raises(ValueError, match="0 or 1"):
        native.begin(lattice, bytes([2] * len(sent)))
    with pytest.raises(ValueError, match=r"incorrect name|invalid PyCapsule"):
        native.begin(native.begin(lattice, bytes(len(sent)))[0], bytes(len(sent)))


@needs_native
def test_levels_that_a_phase_does_not_want_are_refused() -> None:
    assert native is not None
    made = layout(6, channels=2, height=4, width=4, levels=8, places=1)
    compiled = NativeLevels(made, native)
    flags = bytes([1] * len(made.sent))
    zeros = [0] * (4 * len(made.sent))
    for levels in ([8, *zeros[1:]], [-1, *zeros[1:]], zeros[1:], [0, *zeros]):
        filling = compiled.begin(flags)
        with pytest.raises(ValueError, match="not the levels that the phase wants"):
            filling.fill([np.array(levels, np.int32)])
    filling = compiled.begin(flags)
    with pytest.raises(ValueError, match="a phase is missing"):
        filling.finish(0)
    for _ in range(PHASES):
        assert filling.runs is not None
        filling.fill([np.zeros(end - start, np.int32) for _, start, end in filling.runs])
    assert filling.runs is None
    with pytest.raises(ValueError, match="not the levels"):
        filling.fill([np.zeros(1, np.int32)])


SANITISED = """
import sys
sys.path.insert(0, sys.argv[1])
import pytest
sys.exit(pytest.main([sys.argv[2], "-q", "-p", "no:cacheprovider", "-k", "not sanitised and not is_built"]))
"""


@pytest.mark.slow
@needs_compiler
def test_it_compiles_without_a_warning_and_passes_sanitised(tmp_path: Path) -> None:
    """These tests again, in a copy of the project whose module reports every stray access."""
    assert COMPILER is not None
    left_out = shutil.ignore_patterns("*.so", "__pycache__")
    for folder in ("shared", "tests/shared/wire"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=left_out)
    for package in ("tests", "tests/shared"):
        (tmp_path / package / "__init__.py").touch()
    build = [COMPILER, "-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-g", "-O1"]
    build += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fPIC", "-shared", f"-I{HEADERS}"]
    built = tmp_path / "shared" / "wire" / "native.abi3.so"
    subprocess.run([*build, str(SOURCE), "-o", str(built), "-lm"], check=True, timeout=100)
    runtime = subprocess.run(
        [COMPILER, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True, timeout=20
    )
    result = subprocess.run(
        [sys.executable, "-c", SANITISED, str(tmp_path), str(tmp_path / "tests/shared/wire/test_native.py")],
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "LD_PRELOAD": runtime.stdout.strip(), "ASAN_OPTIONS": "detect_leaks=0"},
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert "passed" in result.stdout
    assert "skipped" not in result.stdout
