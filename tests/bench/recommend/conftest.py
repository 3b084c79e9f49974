"""The made-up results of the report's tests."""

from tests.bench.report.conftest import cells_file, fronts

__all__ = ["cells_file", "fronts"]
