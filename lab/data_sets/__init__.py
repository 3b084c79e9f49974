"""Readers of picture archives and data sets made of them; ``siftfunnel.lab.datasets`` lists them by name."""
