"""Every parser of foreign bytes, fed with bytes that nobody chose.

python -m tests.fuzz                        what there is to fuzz
python -m tests.fuzz tap --seconds 60       coverage-guided, with atheris where it is installed
"""
