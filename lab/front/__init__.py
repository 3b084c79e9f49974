"""The front: accuracy against bytes per frame, with what the strongest attack restores at each point.

    bundles, codecs --> points of features      (coding.py)
    pictures        --> points of JPEG, WebP    (coding.py, finetuning.py)
    points          --> leakage of a point      (leakage.py)
    all of them     --> one JSON file           (points.py, front.py)

Only public interfaces are used, so whatever codec a bundle brings is measured like any other.
"""
