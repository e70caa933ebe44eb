"""Machines that sit the readers' test: each sees what a reader sees, and says how synthetic it is.

A machine is given no more than a reader: the voxels around the marker and the marker itself, cut
from the same written images (``view``). A lesion's own mask is kept from it, because real and
synthetic masks are drawn by different hands and would tell the arms apart by themselves.

One new machine is one file and one line in ``registry``: ``prepare`` turns a view into numbers,
``fit`` learns from examples, and ``reading`` does the rest, the same for all: folds by patient,
thresholds from out-of-fold scores, ratings on the six steps of the readers.
"""

from __future__ import annotations

#: Changes whenever a machine could say something else of the same case.
VERSION = 1
