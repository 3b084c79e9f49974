"""What measured cells say: tables, drawings and one JSON summary, with the lab's leakage in the same row.

| module | what it does |
| --- | --- |
| ``sources`` | reads cells, fronts and inverters' reports, or says what is wrong with a file |
| ``naming`` | how a cell, its link and its task are called |
| ``leakage`` | what an eavesdropper of a cell restores, from the nearest measurement there is |
| ``accuracy`` | how often a way answers rightly |
| ``tables`` | cells as tables: latency, stages, bytes, accuracy and leakage |
| ``drawings`` | stages of every cell, throughput against streams, ours over each peer |
| ``fronts`` | drawing and table: accuracy and leakage against bytes |
| ``summary`` | the same as nested JSON, whose figures prose can quote |
| ``committed`` | every kind of committed result, and the pages that it becomes |
| ``cli`` | ``siftfunnel bench report`` and ``bench tables`` |
"""
