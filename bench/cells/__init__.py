"""Cells: one bundle, mode, codec, link and scenario each, measured with real processes at a link's two ends.

| module | what it does |
| --- | --- |
| ``result`` | what a cell's measurement is, as JSON |
| ``plan`` | which cells, in which order |
| ``session`` | measures a plan, link by link, repeats interleaved |
| ``journal`` | what is already measured, on disk after every run |
| ``ends`` | the processes at a link's two ends, kept for all of its cells |
| ``task``, ``device`` | one run, and the device's process that does it |
| ``load`` | MLPerf's scenarios through LoadGen, and what its logs say |
| ``paths``, ``frames`` | the ways from a picture to its class, and the moments a frame passes |
| ``pictures`` | the device's pictures |
| ``network`` | the whole network in one place, for edge-only and cloud-only |
| ``picture_codec``, ``picture_cloud`` | cloud-only: JPEG and WebP, and the server that takes them |
| ``counters`` | bytes that the kernel counted |
| ``record``, ``assembly`` | figures of one run, and of a cell from its runs |
| ``fault`` | a link that goes down |
"""
