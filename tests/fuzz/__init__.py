"""Fuzzing: mutated videos go through looking and reading, in children that may die; what goes wrong is kept.

    python -m tests.fuzz --minutes 60 --seed 1 --out DIR     run, or go on with the run in DIR
    python -m tests.fuzz --again FINDING.json                one finding once more, with its traceback

seeds    sound numbered videos       fields    where the numbers of a container are
edits    a seed's bytes, edited      target    what is done with one input, in the child
child    the child, from outside     running   the loop: choose, run, judge, keep, count
"""

import sys
from pathlib import Path

# `media` (numbered videos) lies beside this folder; pytest finds it there, `python -m tests.fuzz` does not.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
