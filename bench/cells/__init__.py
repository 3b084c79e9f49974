"""Cells: one bundle, mode, codec, link and scenario each, measured with real processes at a link's two ends.

| module | what it does |
| --- | --- |
| ``result`` | what a cell's measurement is, as JSON |
"""
