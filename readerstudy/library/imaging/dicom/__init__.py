"""DICOM CT: headers of single files, stacks of slices, pixels."""
