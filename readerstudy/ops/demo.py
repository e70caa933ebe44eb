"""The people of the demo: `seed_demo` makes their accounts, `manage.py demo` prints them.

Known passwords are safe here only because the demo listens on this machine alone.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DemoAccount:
    role: str
    email: str
    password: str
    display_name: str


ACCOUNTS = (
    DemoAccount("coordinator", "coordinator@demo.example", "demo-coordinator", "Cora Coordinator"),
    DemoAccount("researcher", "researcher@demo.example", "demo-researcher", "Rafael Researcher"),
    DemoAccount("reader", "reader@demo.example", "demo-reader-1", "Dr. Ruth Reader"),
    DemoAccount("second reader", "reader2@demo.example", "demo-reader-2", "Dr. Ravi Reader"),
)
