"""Where the package's own assets lie, and how a bundle is found by name or folder."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from siftfunnel.shared.bundle import Bundle, Inverter, Problem, find_bundles, find_inverters
from siftfunnel.shared.bundle_search import (
    bundle_directory,
    find_bundle,
    named_folders,
    shipped_assets,
    shipped_folder,
)

MODELS_VARIABLE = "SIFTFUNNEL_MODELS"
INVERTERS_VARIABLE = "SIFTFUNNEL_INVERTERS"


def assets_directory() -> Path:
    """The folder of shipped assets; the package is always installed unpacked."""
    assets = shipped_assets()
    assert assets is not None, "siftfunnel is installed without its assets"
    return assets


def images_directory() -> Path:
    """The drawn faces, one folder per identity."""
    return assets_directory() / "images" / "drawnfaces"


@dataclass(frozen=True)
class Library:
    """Folders in which bundles and inverters are found by name.

    Attributes:
        models: folders of bundles.
        inverters: folders of the attacker's decoders.
    """

    models: tuple[Path, ...]
    inverters: tuple[Path, ...]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Library":
        """The folders that SIFTFUNNEL_MODELS and SIFTFUNNEL_INVERTERS name, else the shipped ones."""
        return cls(
            models=named_folders(MODELS_VARIABLE, environment) or shipped_folder("bundles"),
            inverters=named_folders(INVERTERS_VARIABLE, environment) or shipped_folder("inverters"),
        )

    def bundles(self, need: Iterable[str] = ()) -> list[Bundle | Problem]:
        """Every bundle, or the reason why one cannot be used; files in ``need`` are verified."""
        return find_bundles(*self.models, need=need)

    def bundle_directory(self, name_or_directory: str) -> Path:
        """Find a bundle by its folder's name, here or among the shipped ones, or by its folder.

        Raises:
            BundleError: it is neither; the text lists the names.
        """
        return bundle_directory(name_or_directory, self.models)

    def find_bundle(self, name_or_directory: str, need: Iterable[str] = ()) -> Bundle:
        """Load a bundle by name or folder and verify the files in ``need``.

        Raises:
            BundleError: there is none, or it cannot be used.
        """
        return find_bundle(name_or_directory, self.models, need)

    def inverter_of(self, bundle: Bundle) -> Inverter | None:
        """The decoder trained for exactly this bundle, or None."""
        found = (item for item in find_inverters(*self.inverters) if isinstance(item, Inverter))
        return next((item for item in found if item.bundle_digest == bundle.digest), None)
