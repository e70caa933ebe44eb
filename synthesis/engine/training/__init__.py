"""Training of both stages: the segmentor, then the generator against it.

Stage 1 (``segmentor``) teaches a segmentor on labelled volumes, each of which may name only
some of the organs. Stage 2 (``generator``) freezes it and teaches the generator against it and a
small voxel discriminator, on labelled and unlabelled crops together.

Everything random follows from ``(seed, stream, index of the crop)``: a step needs no memory of
the steps before it, so a killed run continues with the very crops an unbroken one would have
seen, and several processes share the crops of one large batch between them.
"""

from __future__ import annotations
