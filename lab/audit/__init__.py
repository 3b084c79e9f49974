"""The audit: one command that attacks a trained network or bundle and reports what leaked.

| module | what it does |
| --- | --- |
| ``budgets``, ``plan`` | how much is attacked and measured; which attacks run on a target |
| ``subject`` | what the user asks for, and the data cut into parts |
| ``measures``, ``judging``, ``equal_bytes`` | accuracy, bytes, information; a picture codec at those bytes |
| ``verdict`` | in words, by rules from the numbers |
| ``gallery`` | the pictures that the report shows, which ``lab.reports`` writes |
| ``audit``, ``cli`` | the order of steps, the command |

What is attacked becomes a victim in ``lab.targets``; attacks, checks and the folder's steps are those of
``lab.evaluation``.
"""
