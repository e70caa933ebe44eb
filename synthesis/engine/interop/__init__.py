"""Where the published FreeTumor meets this engine: its formulas, its gate, its weight files.

``recipe`` computes what the released code computes, ``weights`` reads its files, ``parity``
holds both to recorded numbers.
"""

from __future__ import annotations
