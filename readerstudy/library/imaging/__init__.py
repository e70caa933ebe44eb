"""Pure reading of CT: DICOM, NIfTI, masks, zips. Arrays and dataclasses, no Django, no settings."""
