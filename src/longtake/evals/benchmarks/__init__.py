"""evals.benchmarks: the folder is the registry: one file a benchmark, whose class reads what its authors published.

`longtake.evals.Benchmark` says what each can do; docs/evals.md lists them. Files that begin with `_` are no benchmarks.
"""

ROOM = "evals.benchmarks"
"""How `longtake.parts` finds them."""
