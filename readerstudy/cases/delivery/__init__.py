"""Synthetic volumes as files, without the library and its database: read, make, write.

`hosts` reads a CT with its masks, `variants` makes lesions in it, `files` writes what came of it.
"""
