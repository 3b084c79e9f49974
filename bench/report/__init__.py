"""What measured cells say: tables, drawings and one JSON summary, with the lab's leakage in the same row.

| module | what it does |
| --- | --- |
| ``sources`` | reads cells, fronts and inverters' reports, or says what is wrong with a file |
| ``naming`` | how a cell, its link and its task are called |
| ``leakage`` | what an eavesdropper of a cell restores, from the nearest measurement there is |
| ``reading`` | how near a decoded JPEG or WebP comes to the picture |
| ``tables`` | cells as tables: latency, stages, bytes, accuracy and leakage |
| ``terminal`` | tables as text for a terminal |
| ``stages`` | drawing: stacked stages of every cell, one panel per link |
| ``fronts`` | drawing and table: accuracy and leakage against bytes |
| ``curves`` | drawings: throughput against streams, bars of ratios |
| ``peers`` | drawing: ours over each peer |
| ``summary`` | the same as nested JSON, whose figures prose can quote |
| ``cli`` | ``siftfunnel bench report`` |
"""
