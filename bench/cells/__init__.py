"""Cells: one bundle, mode, codec, link and scenario each, measured with real processes at a link's two ends.

| module | what it does |
| --- | --- |
| ``result`` | what a cell's measurement is, as JSON |
| ``plan``, ``cli`` | which cells, in which order; `siftfunnel bench run` |
| ``session`` | measures a plan, link by link, repeats interleaved |
| ``journal`` | what is already measured, on disk after every run |
| ``ends`` | the processes at a link's two ends, kept for all of its cells |
| ``device`` | the device's process, which does one run after the other |
| ``load`` | MLPerf's scenarios through LoadGen, and what its logs say |
| ``paths`` | the ways from a picture to its class, all on the device or through a server |
| ``pictures`` | the device's pictures |
| ``picture_codec``, ``picture_cloud`` | cloud-only: JPEG and WebP, and the server that takes them |
| ``counters`` | bytes that the kernel counted |
| ``record``, ``assembly`` | one run with its frames, and a cell from its runs |
"""
