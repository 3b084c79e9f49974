"""Compiled levels and NumPy's: the same of the same, and no memory but their own."""

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

from siftfunnel.shared.manifest import FeatureSpec
from siftfunnel.shared.wire import lattice_levels
from siftfunnel.shared.wire.compiled import REVISION, CompiledLevels, native
from siftfunnel.shared.wire.context_tables import ContextTables
from siftfunnel.shared.wire.errors import CodecError
from siftfunnel.shared.wire.lattice import Contexts
from siftfunnel.shared.wire.lattice_levels import LatticeLevels
from siftfunnel.shared.wire.levels import Pop
from siftfunnel.shared.wire.signed import LIMIT, SignedContexts
from siftfunnel.shared.wire.signed_levels import SignedLevels
from siftfunnel.shared.wire.stack import Runs

ROOT = Path(__file__).resolve().parents[3]
SOURCES = sorted((ROOT / "shared" / "wire").glob("native*.c"))
HEADERS = Path(sysconfig.get_paths()["include"])
COMPILER = shutil.which("cc") if (HEADERS / "Python.h").is_file() else None

needs_native = pytest.mark.skipif(native is None, reason="not built: there was no compiler")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler, or no headers of Python")

PlainLevels = LatticeLevels | SignedLevels


def rising(random: np.random.Generator, most: int, count: int) -> tuple[int, ...]:
    return tuple(sorted(random.choice(np.arange(1, most), size=count, replace=False).tolist()))


def tables_for(random: np.random.Generator, channels: int, kinds: int, shape: tuple[int, ...], symbols: int):
    tables = int(random.integers(1, 8))
    flags = random.integers(0, tables, channels).astype(np.uint8)
    flags[random.random(channels) < 0.3] = 255
    flags[random.integers(channels)] = 0
    return ContextTables(
        flags=flags,
        kinds=np.append(random.integers(0, kinds, channels - 1), kinds - 1).astype(np.intp),
        choices=random.integers(0, tables, (kinds, *shape), dtype=np.uint8),
        counts=np.ones((tables, symbols), np.uint16),
        most_bytes=1,
    )


def lattice(seed: int, *, channels: int, height: int, width: int, levels: int, places: int) -> LatticeLevels:
    random = np.random.default_rng(seed)
    contexts = Contexts(rising(random, 4 * (levels - 1), 3), places)
    steps = random.uniform(0.01, 3, channels).astype(np.float32)
    tables = tables_for(random, channels, channels, contexts.shape, levels)
    return LatticeLevels(FeatureSpec(channels, height, width), steps, contexts, tables)


def signed(seed: int, *, channels: int, height: int, width: int, most: int, kinds: int) -> SignedLevels:
    random = np.random.default_rng(seed)
    activities = tuple(rising(random, channels + 4, 3) for _ in range(3))
    contexts = SignedContexts(rising(random, 4 * most, 4), activities)
    tables = tables_for(random, channels, kinds, contexts.of_levels, 2 * most)
    mask_choices = random.integers(0, 5, (kinds, *contexts.of_masks), dtype=np.uint8)
    step = np.float32(random.uniform(0.01, 3))
    return SignedLevels(FeatureSpec(channels, height, width), step, contexts, tables, mask_choices)


def features_for(made: PlainLevels, seed: int, scale: float) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    shape = (made.feature.channels, made.feature.height * made.feature.width)
    values = random.standard_normal(shape) * scale * (random.random((shape[0], 1)) < 0.7)
    # halves of a step, which round to even
    ties = random.random(shape) < 0.1
    steps = np.full(shape[0], made.step) if isinstance(made, SignedLevels) else np.ones(shape[0])
    if isinstance(made, LatticeLevels):
        steps[made.sent] = made.steps
    return np.where(ties, np.round(values) * steps[:, None] / 2, values).astype(np.float32)


sides = {"channels": st.integers(1, 9), "height": st.integers(1, 9), "width": st.integers(1, 9)}
lattices = st.builds(
    lattice, st.integers(0, 2**32 - 1), **sides, levels=st.integers(4, 64), places=st.integers(1, 2)
)
signeds = st.builds(
    signed,
    st.integers(0, 2**32 - 1),
    **{**sides, "channels": st.integers(1, 70)},
    most=st.integers(9, 31),
    kinds=st.integers(1, 4),
)
any_levels = st.one_of(lattices, signeds)


def popping(symbols: NDArray[np.int32], start: int, asked: Runs) -> Pop:
    """What a decoder of these symbols would give; notes where what was asked for lies among them."""
    at = start

    def pop(runs: Runs) -> list[NDArray[np.int32]]:
        nonlocal at
        first, at = at, at + runs[-1][2]
        asked.extend((table, first + low, first + high) for table, low, high in runs)
        return [symbols[first + low : first + high] for _, low, high in runs]

    return pop


def guessing(made: PlainLevels, seed: int, digits: int) -> Pop:
    """What a decoder of noise gives: any symbols that the tables have, and digits below some number."""
    random = np.random.default_rng(seed)
    symbols = made.levels if isinstance(made, LatticeLevels) else 2 * made.scan.most
    # behind the tables of levels stand those of how coarse, of digits and of masks
    of_digits = len(made.counted.counts) + 1

    def pop(runs: Runs) -> list[NDArray[np.int32]]:
        below = [
            symbols if table < of_digits else digits if table == of_digits else 256 for table, _, _ in runs
        ]
        found = [
            random.integers(0, most, end - start) for most, (_, start, end) in zip(below, runs, strict=True)
        ]
        return [symbols.astype(np.int32) for symbols in found]

    return pop


@needs_compiler
def test_it_is_built_where_there_is_a_compiler_and_used_where_it_is_built() -> None:
    assert native is not None, "install the project again: pip install --editable ."
    assert native.REVISION == REVISION
    made = lattice(0, channels=2, height=2, width=2, levels=4, places=1)
    contexts = Contexts((1, 2, 3), 1)
    tables = tables_for(np.random.default_rng(0), 2, 2, contexts.shape, 4)
    found = lattice_levels.lattice_levels(made.feature, np.ones(2, np.float32), contexts, tables)
    assert isinstance(found, CompiledLevels)


@needs_native
@settings(deadline=None, max_examples=200)
@given(any_levels, st.integers(0, 2**32 - 1), st.sampled_from([0, 0.1, 1, 20, 1e4, 1e30]), st.integers(0, 16))
def test_both_sort_and_fill_alike(made: PlainLevels, seed: int, scale: float, coarser: int) -> None:
    features, compiled = features_for(made, seed, scale), made.compiled()
    expected, found = made.sort(features, coarser), compiled.sort(features, coarser)
    assert found.told == expected.told
    assert found.runs == expected.runs
    np.testing.assert_array_equal(found.symbols, expected.symbols)
    head = 1 + len(made.sent)
    restored = []
    for levels in (made, compiled):
        asked: Runs = []
        pop = popping(expected.symbols, head, asked)
        told, values = levels.fill(expected.told[1:head], coarser, pop)
        assert told == expected.told
        assert asked == expected.runs
        restored.append(values)
    np.testing.assert_array_equal(*restored)
    steps = made.steps[:, None] if isinstance(made, LatticeLevels) else np.full((1, 1), made.step)
    most = LIMIT if isinstance(made, SignedLevels) else made.levels - 1
    least = -most if isinstance(made, SignedLevels) else 0
    clipped = np.clip(features[made.sent], least * steps, most * steps)
    wrong = np.abs(restored[1][made.sent] - clipped)
    assert (wrong <= np.ldexp(steps, coarser) * 0.5001 + 1e-6 * np.abs(clipped)).all()


@needs_native
@settings(deadline=None, max_examples=200)
@given(
    any_levels, st.integers(0, 2**32 - 1), st.integers(0, 20), st.floats(0, 1), st.sampled_from([7, 16, 18])
)
def test_both_make_the_same_of_noise_or_both_refuse(
    made: PlainLevels, seed: int, coarser: int, lit: float, digits: int
) -> None:
    flags = (np.random.default_rng(seed).random(len(made.sent)) < lit).astype(np.uint8).tobytes()
    outcomes: list[object] = []
    for levels in (made, made.compiled()):
        try:
            told, values = levels.fill(flags, coarser, guessing(made, seed, digits))
        except CodecError:
            outcomes.append("refused")
        else:
            outcomes.append((told, values.tolist()))
    assert outcomes[0] == outcomes[1]


@needs_native
def test_features_that_do_not_lie_in_one_piece_are_sorted_alike() -> None:
    for made in (
        lattice(3, channels=4, height=5, width=6, levels=8, places=2),
        signed(3, channels=4, height=5, width=6, most=9, kinds=2),
    ):
        features = features_for(made, 3, 2.0)
        assert made.compiled().sort(np.asfortranarray(features), 0).told == made.sort(features, 0).told


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


LATTICE = (3, 4, 4, 8, 1)
SIGNED = (3, 4, 4, 9, 2, 2, 2, 3)


def lattice_arrays() -> list[NDArray[np.generic]]:
    index = np.array([2, 0], np.int32)
    tables = np.zeros(3 * 2 * 29, np.uint8)
    return [index, np.arange(2, dtype=np.int32), np.ones(2, np.float32), tables]


def signed_arrays() -> list[NDArray[np.generic]]:
    index, order, steps, _ = lattice_arrays()
    bounds, kinds = np.array([1, 1, 1], np.int32), np.array([0, 1], np.int32)
    tables = [np.zeros(size, np.uint8) for size in (2 * 2 * 2, 2 * 2 * 3, 256, 256, 256)]
    return [index, order, steps, bounds, kinds, *tables]


def changed(arrays: list[NDArray[np.generic]], place: int, array: NDArray[np.generic]):
    return [*arrays[:place], array, *arrays[place + 1 :]]


@needs_native
def test_sizes_that_do_not_fit_are_refused() -> None:
    assert native is not None
    for make, sizes, arrays, wrong in (
        (native.lattice, LATTICE, lattice_arrays(), {0: 0, 1: -4, 2: 2**30, 3: 65, 4: 3}),
        (native.signed, SIGNED, signed_arrays(), {0: 0, 1: -4, 2: 2**30, 3: 32, 5: 3, 6: 3, 7: 1}),
    ):
        make(*sizes, *arrays)
        for place, size in wrong.items():
            with pytest.raises(ValueError, match="sizes"):
                make(*sizes[:place], size, *sizes[place + 1 :], *arrays)
        for place, array in enumerate(arrays):
            with pytest.raises(ValueError, match="sizes"):
                make(*sizes, *changed(arrays, place, array[:-1]))
        for place in (0, 1):
            for value in (3, -1):
                with pytest.raises(ValueError, match="channel that the feature does not have"):
                    make(*sizes, *changed(arrays, place, np.array([value, 0], np.int32)))
    for place, longer in ((4, np.array([0, 2], np.int32)), (7, np.full(256, 3, np.uint8))):
        with pytest.raises(ValueError, match="sizes"):
            native.signed(*SIGNED, *changed(signed_arrays(), place, longer))


@needs_native
@pytest.mark.parametrize("kind", ["lattice", "signed"])
def test_features_flags_and_symbols_that_do_not_fit_are_refused(kind: str) -> None:
    assert native is not None
    coder = native.lattice(*LATTICE, *lattice_arrays())
    if kind == "signed":
        coder = native.signed(*SIGNED, *signed_arrays())
    features = np.zeros((3, 16), np.float32)
    for lesser in ((features[:2], 0), (features, -1), (features, 256)):
        with pytest.raises(ValueError, match="size"):
            native.sort(coder, *lesser)

    def fill(pop: object, flags: bytes = b"\1\1", into: NDArray[np.float32] = features) -> bytes:
        return native.fill(coder, flags, 0, into.copy(), pop)

    with pytest.raises(ValueError, match="size"):
        fill(None, into=features[:2])
    with pytest.raises(ValueError, match="flags are not as many"):
        fill(None, b"\1")
    with pytest.raises(ValueError, match="0 or 1"):
        fill(None, b"\1\2")
    with pytest.raises(TypeError):
        fill(None)
    for popped in (
        [],
        [np.zeros(1, np.int32)],
        [np.zeros(10_000, np.int32)],
        [np.zeros(3, np.uint8)],
        [np.full(32, 256, np.int32)],
        [np.full(32, -1, np.int32)],
    ):
        with pytest.raises(ValueError, match="symbols"):
            fill(lambda runs, popped=popped: popped)
    for not_arrays in (None, (), [None], ["a"]):
        with pytest.raises((TypeError, SystemError)):
            fill(lambda runs, popped=not_arrays: popped)

    def failing(runs: Runs) -> list[NDArray[np.int32]]:
        raise CodecError("as the decoder does")

    with pytest.raises(CodecError, match="as the decoder does"):
        fill(failing)
    with pytest.raises(ValueError, match=r"incorrect name|invalid PyCapsule"):
        native.sort(object(), features, 0)


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
    subprocess.run([*build, *map(str, SOURCES), "-o", str(built), "-lm"], check=True, timeout=100)
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
