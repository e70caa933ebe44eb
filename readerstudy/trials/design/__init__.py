"""The design of a trial, pure: the protocol document, strata, the draw of cases, the orders.

Nothing here knows Django or a database: plain values in, plain values out, randomness from a seed.
"""
