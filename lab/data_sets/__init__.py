"""Readers of picture archives and the data sets made of them; ``lab.datasets`` lists them by name."""
