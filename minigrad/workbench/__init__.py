"""Is a kernel right, and how fast is it on GoogLeNet's layers? What `minigrad bench` is made of.

layers.py       the problems that GoogLeNet really runs, traced from the model
contracts/      what each operation takes and gives, and how much work that is
odd.py          small problems with awkward shapes, drawn by hypothesis, for finding mistakes
case.py         a problem with fresh random inputs and the float64 oracle's results
check.py        a variant's results against the oracle, and every way of cheating that we know
timing.py       variants taking turns, cold or warm caches, samples checked in every round
roofline.py     what this machine can do at most: measured
pytorch.py      the same operations in PyTorch, where it is installed
settings.py     how to measure; session.py: layers and variants to rows
rows.py         what was measured; table.py, compare.py, plot.py: what becomes of it
user_kernel.py  kernels from files of the user's own; templates/ to start from
"""
