"""Hand-written kernels: raw arrays in, raw arrays out, no autograd.

Each folder holds one op: its contract (`__init__.py`), the readable definition of
right (`reference.py`) and the fast variants (`cpu*.py`, `cuda*.py` with their `.cu` files). Folders
named after a device hold what the variants of that device share.
"""
