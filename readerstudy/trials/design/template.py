"""VTT-CT-1: the protocol a new trial starts from.

One informed reading of marked lesions with six-point forced-side confidence, no feedback, an
undisclosed share of synthetic cases that is not exactly one half, and a tenth of repeats.
"""

from __future__ import annotations

from typing import Any

NAME = "VTT-CT-1"

_SOFT = {"name": "Soft tissue", "center": 40, "width": 400}
_LIVER = {"name": "Liver", "center": 90, "width": 150}
_LUNG = {"name": "Lung", "center": -600, "width": 1500}
_BONE = {"name": "Bone", "center": 480, "width": 2500}
_KIDNEY = {"name": "Kidney", "center": 60, "width": 300}
_PANCREAS = {"name": "Pancreas", "center": 60, "width": 250}

PREVALENCE = "Both kinds of tumor occur. How many of each there are is not disclosed."

INSTRUCTIONS = """\
You will see CT scans one after another. In each scan one tumor is marked. Judge whether this \
tumor is real, or synthetic: drawn into the scan by a computer program.

Look at the whole scan if you like; judge the marked tumor only. Scroll, change the window, zoom, \
measure, or look at the three planes. Then give one of six answers, from definitely real to \
definitely synthetic. There is no middle: if you are unsure, choose the side you lean to.

The first cases are for practice and are not counted. You will not be told whether an answer was \
right. An answer is final once it is sent: there is no way back to an earlier case.

Please work alone, on a good display, in a dim room, and do not discuss the cases with other \
readers before the trial has ended. You may pause at any time; you will return to the same case, \
also on another computer.
"""

CONSENT = """\
I take part in this study of my own free will and may stop at any time without giving a reason.

My answers, reading times and the way I use the viewer (slices seen, windows used, screen size) \
are recorded under a pseudonym and will be analysed and published for the group, together with my \
years of experience and specialty. My name is not published.

This is research. Nothing I do here is a diagnosis, and no patient's care depends on it.
"""


def vtt_ct_1(title: str = "Visual Turing Test on CT") -> dict[str, Any]:
    """The template as plain data. `positive_class` is left out: somebody must choose it."""
    strata = [
        {"organ": organ, "size_band": band, "real": real, "synthetic": synthetic}
        for organ, rows in {
            "liver": [("small", 3, 3), ("medium", 4, 4), ("large", 3, 3)],
            "kidney": [("small", 3, 3), ("medium", 4, 4), ("large", 3, 3)],
            "lung": [("small", 3, 4), ("medium", 3, 4), ("large", 3, 3)],
        }.items()
        for band, real, synthetic in rows
    ]
    return {
        "format": "readerstudy-protocol/1",
        "title": title,
        "question": "Is the marked tumor real or synthetic?",
        "windows": [
            {"organ": "liver", "presets": [_LIVER, _SOFT, _LUNG, _BONE]},
            {"organ": "kidney", "presets": [_KIDNEY, _SOFT, _LUNG, _BONE]},
            {"organ": "pancreas", "presets": [_PANCREAS, _SOFT, _LUNG, _BONE]},
            {"organ": "lung", "presets": [_LUNG, _SOFT, _BONE]},
            {"organ": "default", "presets": [_SOFT, _LUNG, _BONE]},
        ],
        "wording": {
            "prevalence": PREVALENCE,
            "instructions": INSTRUCTIONS,
            "consent": CONSENT,
        },
        "design": {
            "size_bands": [
                {"name": "small", "from_mm": 0, "to_mm": 10},
                {"name": "medium", "from_mm": 10, "to_mm": 20},
                {"name": "large", "from_mm": 20, "to_mm": 200},
            ],
            "strata": strata,
        },
    }
