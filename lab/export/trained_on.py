"""What a bundle says of the pictures that it was trained for."""

from typing import Any

from siftfunnel.lab.data.datasets import DATASETS
from siftfunnel.shared.bundle import Bundle


def training_of(bundle: Bundle) -> dict[str, Any]:
    """How it was trained, as its report tells; empty where it does not."""
    training = bundle.report().get("training")
    return training if isinstance(training, dict) else {}


def dataset_of(bundle: Bundle) -> str | None:
    """The data set of its training, else the one whose name its own begins with, else None."""
    recipe = training_of(bundle).get("recipe")
    told = recipe.get("dataset") if isinstance(recipe, dict) else None
    return told if told in DATASETS else dataset_of_name(bundle.name)


def dataset_of_name(name: str) -> str | None:
    """The data set whose name a bundle's name begins with, or None.

    Example:
        >>> dataset_of_name("cifar10-siftfunnel"), dataset_of_name("camera")
        ('cifar10', None)
    """
    fitting = [dataset for dataset in DATASETS if name == dataset or name.startswith(f"{dataset}-")]
    return max(fitting, key=len, default=None)
