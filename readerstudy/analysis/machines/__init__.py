"""Machines that sit the trial's test beside its readers.

Who may read is `selectors` (and how much there is to learn from), the work is `reading`, and
`words` says what each machine learned from. Everything a machine said stays sealed until the truth
is opened.
"""
