"""An app for the tests of the worker: one job that counts slowly."""
