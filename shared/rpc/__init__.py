"""Stubs generated from `proto/`; committed, never edited: `python -m shared.rpc.generate`."""
