"""Somebody's own network: where it can be cut, a funnel at the cut, both halves as a bundle.

`api` lists what there is in Python. Nothing is imported here: the commands' help needs no PyTorch.
"""
