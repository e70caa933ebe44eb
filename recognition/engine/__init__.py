"""Tumor recognition: find lesions in a CT, and measure how well that was done.

Pure: arrays and tensors in, arrays and dataclasses out; nothing here knows of Django, and nothing
of the synthesis engine. Conventions that hold in every module:

* arrays are ``(z, y, x)``; a spacing is ``(x, y, z)`` in mm unless its name says ``zyx``;
* a value that is not defined is ``None``, and the docstring says when that is so;
* randomness comes in as a generator.
"""
