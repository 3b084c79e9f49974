"""Stubs generated from `proto/`; committed, never edited: `python -m siftfunnel.shared.rpc.generate`."""
