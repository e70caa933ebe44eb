"""Statistics of a reader study: arrays and tables in, frozen dataclasses out.

Pure: imports numpy, pandas, scipy and statsmodels only. Nothing here knows of Django, files or
figures. Conventions that hold in every module:

* the **positive class** is named in every signature and every result (``synthetic`` by default);
* a value that is not defined is ``None`` beside a ``reason``; never NaN, never an exception for a
  degenerate reader;
* repeats (``repeat`` > 1) never enter accuracy, AUC or anything derived from them;
* ties between a positive and a negative score count one half.
"""

from __future__ import annotations

#: Changes whenever a number for the same input, or the shape of the document, could change.
ENGINE_VERSION = "2.1.0"
