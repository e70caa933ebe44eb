"""Pure writing of CT that is not what a scanner made: NIfTI, DICOM series and SEG that say so."""
