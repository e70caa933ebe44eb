"""Lesion synthesis: pure numpy and scipy, no Django, no global state.

The road of one lesion is short: ``shapes`` draws a lesion in millimetres, ``placement`` finds
it a home inside an organ, a generator (``generators``) proposes a change in HU, ``compositing``
turns the change into a signed integer residual on the scanner's own grid, and ``quality``
answers with a typed verdict. ``pipeline.synthesize`` walks that road.

Conventions held everywhere in this package:

* arrays are indexed ``(z, y, x)``;
* ``spacing`` is ``(x, y, z)`` in millimetres, as in ``readerstudy.library.imaging.Geometry``;
* ``spacing_zyx`` (only inside the engine) is the same in array order;
* intensities are Hounsfield units (HU); randomness is a ``numpy.random.Generator`` argument.
"""

from __future__ import annotations
