"""What synthesis is worth: networks trained with and without it, on the same test lesions.

Nothing here makes a lesion: synthesizers are handed in, as to the training.
"""
