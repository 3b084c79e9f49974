"""The one measuring core: a subject, attacked with a suite, gives scores, checks and the strongest attack.

    run, bundle or foreign half --> victim --,
    the attacker's pictures, the target's ---+--> Subject --,
    attacks, budgets, looks --------------------> Suite ----+--> entries --> strongest, checks, flags
    run folder ---------------------------------> Steps ----'    (each made once, then read back)

| module | what it does | uses |
| --- | --- | --- |
| ``steps`` | a run folder's finished steps, each made once | nothing here |
| ``subject`` | what is attacked: victim, pictures on both sides, what was overheard | ``lab.attacks`` |
| ``suite`` | AutoInvert: the frozen, named list of attacks, at three budgets | ``lab.attacks`` |
| ``scores`` | what is said of restored pictures, and of those that no attack restored | ``lab.metrics`` |
| ``ranking`` | the strongest by decibels and by identity, from one frame and many | nothing here |
| ``agreement`` | how far the suite's short budgets are from its long ones, measured | ``suite`` |
| ``information`` | what a feature says of a picture, without any attack | ``lab.metrics`` |
| ``attacking`` | one attack on a subject, fitted, run, scored and kept | all of the above |
| ``probing`` | extra runs for sanity checks: half the budget, learning by heart | ``steps``, ``scores`` |
| ``places`` | where results that hold pictures of people may lie | nothing here |
| ``checks``, ``flags`` | rules on numbers: may they be read as a property of the defence? | ``ranking`` |

Its users are thin: ``lab.study`` (rows of the paper's tables), ``lab.audit`` (one network, judged in words),
``lab.front`` (what codecs leave); ``lab.inverter`` trains the live page's decoder with the attacks' trainer.
What can be attacked becomes a victim in ``lab.targets``. Nothing here knows a study, an audit or a front.
"""
