"""Find a bundle by its folder, or by its name among folders of bundles and the shipped ones."""

import os
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path

from siftfunnel.shared.bundle import EDGE, MANIFEST, Bundle, BundleError, load_bundle
from siftfunnel.shared.storage import directories_with


def shipped_assets() -> Path | None:
    """The distribution's folder of bundles and pictures; located, not imported; None where there is none."""
    product = find_spec("siftfunnel")
    for place in (product and product.submodule_search_locations) or ():
        if (assets := Path(place) / "assets").is_dir():
            return assets
    return None


def named_folders(variable: str, environment: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Folders that an environment variable lists; none where it is empty or not set."""
    return tuple(Path(part) for part in environment.get(variable, "").split(os.pathsep) if part)


def shipped_folder(kind: str) -> tuple[Path, ...]:
    """The shipped folder of a kind ("bundles", "inverters"), where there is one."""
    assets = shipped_assets()
    return (assets / kind,) if assets is not None and (assets / kind).is_dir() else ()


def bundle_directory(name_or_directory: str | Path, places: Iterable[str | Path] = ()) -> Path:
    """Where a bundle lies. A directory that holds a manifest wins over a name.

    Args:
        name_or_directory: a bundle's directory, or its name.
        places: folders of bundles, looked through before the shipped ones.

    Raises:
        BundleError: there is none; the text lists the names there are.
    """
    path = Path(name_or_directory)
    # os.path, because Path.is_file raises where looking is not allowed
    if os.path.isfile(path / MANIFEST) or path.is_absolute() or path.name != str(name_or_directory):
        return path
    folders = [Path(place) for place in places]
    for folder in folders:
        if not os.path.isdir(folder):
            raise BundleError(f"{folder}: no such folder of bundles")
    if assets := shipped_assets():
        folders.append(assets / "bundles")
    for folder in folders:
        if os.path.isfile(folder / path / MANIFEST):
            return folder / path
    names = {place.name for folder in folders for place in _bundles_in(folder)}
    raise BundleError(
        f"no bundle {str(name_or_directory)!r}: neither a folder with a {MANIFEST} here nor one of the names "
        f"known ({', '.join(sorted(names)) or 'none'}); give a bundle's folder, or a folder of bundles "
        "with --bundles or SIFTFUNNEL_MODELS"
    )


def _bundles_in(folder: Path) -> list[Path]:
    try:
        return directories_with(folder, MANIFEST)
    except BundleError:
        return []


def find_bundle(
    name_or_directory: str | Path, places: Iterable[str | Path] = (), need: Iterable[str] = (EDGE,)
) -> Bundle:
    """Load a bundle and verify some of its files.

    Args:
        name_or_directory: a bundle's directory, or its name.
        places: folders of bundles, looked through before the shipped ones.
        need: the files to verify; unless told otherwise the one that a device loads.

    Raises:
        BundleError: there is none (the text lists the names there are), or it cannot be used.
    """
    return load_bundle(bundle_directory(name_or_directory, places), need)
