"""Training of the recognition networks: on real lesions, and on synthetic ones made on the fly."""
