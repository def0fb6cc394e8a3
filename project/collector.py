"""Python's collector of garbage, kept from holding a process up.

A full collection looks at every object while nothing else runs: modules alone are 225,000 objects, which
takes 150 ms and more. Every customer of the process sees that as one picture that stands.
"""

import gc

# New objects before the youngest are looked at, and how often those are before older ones. Python's own are
# 700, 10 and 10. At most 200,000 objects of ended conversations, about 20 MB, wait to be found.
THRESHOLDS = (2_000, 10, 10)


def settle() -> None:
    """Never look again at what is here now: for what stays as long as the process, modules above all."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
