"""The paper's tables beside ours, from ``lab/results``; needs neither PyTorch nor the pictures.

| module | what it does |
| --- | --- |
| ``paper`` | the paper's printed figures, and which of our rows stands for which of the paper's |
| ``results`` | reads result files, refuses what does not fit, joins seeds |
| ``lines`` | the lines of a table, paper and ours side by side, and the columns that tables share |
| ``profiles`` | what a profile's results were made with, in words |
| ``sections`` | the parts of Tables 2 to 5 |
| ``further`` | information, references, equal accuracy, Figure 2 |
| ``speed`` | how long trainings and attacks took |
| ``predictors`` | which figure foretells the leak: rank correlations over rows |
| ``drawings`` | accuracy against leak, the spread over pictures, Figure 2 |
| ``cli`` | ``siftfunnel lab tables`` |
"""
