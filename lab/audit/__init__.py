"""The audit: one command that attacks a trained network or bundle and reports what leaked.

| module | what it does |
| --- | --- |
| ``target``, ``spec``, ``edges``, ``layout`` | what is audited: a run, a bundle, or a foreign edge half |
| ``budgets`` | which attacks with which settings |
| ``subject`` | the data cut into parts, the attacked pictures and what was overheard of them |
| ``attacking``, ``probing`` | runs the attacks, and the extra runs that sanity checks need |
| ``figures`` | accuracy, bytes, information |
| ``checks``, ``verdict`` | rules on numbers: may the result be trusted, and what does it say |
| ``gallery`` | the pictures that the report shows, which ``lab.reports`` writes |
| ``audit``, ``places``, ``cli`` | the order of steps, where results may lie, the command |
"""
