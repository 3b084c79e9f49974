"""`python -m siftfunnel.edge_client edge|classify`."""

import sys

from siftfunnel.edge_client.cli import main

if __name__ == "__main__":
    sys.exit(main())
