"""Bounds that keep a hostile or broken file from taking the machine down."""

from __future__ import annotations

# Larger than any clinical CT matrix (512, 768, 1024, rarely 2048).
MAX_SIDE = 4096
# 512 x 512 x 2048: one GiB as int16.
MAX_VOXELS = 2**29
# One deflated DICOM file, inflated: an enhanced CT of 1,000 slices of 512 x 512 fits.
MAX_INFLATED_BYTES = 2**29
# Fewer slices are a localizer or a sample, not a volume a lesion can be read in.
MIN_SLICES = 3
# A header larger than this without pixel data is not a CT slice.
MAX_HEADER_BYTES = 2**26
