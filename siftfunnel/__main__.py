"""``python -m siftfunnel``: the same console entry, for callers who know only their interpreter."""

import sys

from siftfunnel.cli import main

if __name__ == "__main__":
    sys.exit(main())
