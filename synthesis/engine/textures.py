"""Band-limited noise: the grain of a lesion, and noise that continues the scanner's own.

A lesion betrays itself when its noise differs from that of the tissue around it. So the host's
own high-pass signal stays where it is noise; where it is structure (a vessel that the lesion
replaces) it is filled with noise of the host's measured power spectrum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from synthesis.engine.arrays import Field, MaskArray, Spacing, robust_sd, smooth

#: Width (mm) in plane of the split between the host's structure and its noise.
SPLIT_MM = 2.2
#: High-pass values beyond this many standard deviations are anatomy, not noise.
_STRUCTURE_SD = 3.0


def band_limited(
    rng: np.random.Generator, shape: tuple[int, int, int], spacing_zyx: Spacing, grain_mm: float
) -> Field:
    """Gaussian noise of mean 0 and SD 1 whose grains are about ``grain_mm`` wide.

    White noise passed through a difference of Gaussians: nothing finer than the grain, and no
    slow drift that would shift the contrast of the whole lesion.
    """
    white = rng.standard_normal(shape, dtype=np.float32)
    fine = smooth(white, grain_mm / 2.355, spacing_zyx, mode="reflect")
    slow = smooth(white, 2.5 * grain_mm / 2.355, spacing_zyx, mode="reflect")
    band = fine - slow
    spread = float(band.std())
    out: Field = (band - band.mean()) / np.float32(max(spread, 1e-6))
    return out


@dataclass(frozen=True)
class HostSplit:
    """A host crop split into smooth structure and noise, both in HU.

    ``low + noise`` is the host wherever it holds no fine structure. ``noise_sd`` is the robust
    SD of the noise within the organ, ``low_sd`` that of the smooth part.
    """

    low: Field
    noise: Field
    noise_sd: float
    low_sd: float


def split_host(
    rng: np.random.Generator, hu: Field, tissue: MaskArray, spacing_zyx: Spacing
) -> HostSplit:
    """Split a host crop; statistics come from ``tissue`` only (organ without real tumors).

    The smooth part is averaged over the tissue alone (normalized convolution), so that the
    bright or dark neighbors of the organ do not bleed into it.
    """
    low, high, structure = hu, hu, ~tissue
    for _ in range(2):
        # The second look leaves out what the first found: structure also bends its surroundings.
        low = _average_over(hu, ~structure, spacing_zyx)
        high = (hu - low).astype(np.float32)
        limit = _STRUCTURE_SD * max(robust_sd(high[~structure]), 1.0)
        structure = ndimage.binary_dilation((np.abs(high) > limit) | ~tissue, _CROSS)
        if structure.all():
            structure = ~tissue
    noise_sd = max(robust_sd(high[~structure]), 1.0)
    fill = spectrum_matched(rng, np.where(structure, np.float32(0.0), high))
    clean = high[tissue & ~structure]
    noise_sd = float(clean.std()) if clean.size > 50 else noise_sd
    noise = np.where(structure, fill * np.float32(noise_sd), high).astype(np.float32)
    low_sd = robust_sd(low[tissue])
    return HostSplit(low=low.astype(np.float32), noise=noise, noise_sd=noise_sd, low_sd=low_sd)


def _average_over(hu: Field, tissue: MaskArray, spacing_zyx: Spacing) -> Field:
    """Smooth mean over ``tissue`` alone; the host itself where there is none nearby."""
    in_plane: Spacing = (spacing_zyx[0] * 2.0, spacing_zyx[1], spacing_zyx[2])
    weight = tissue.astype(np.float32)
    total = smooth(weight, SPLIT_MM, in_plane)
    mean = smooth(hu * weight, SPLIT_MM, in_plane) / np.maximum(total, 1e-3)
    out: Field = np.where(total > 1e-3, mean, hu).astype(np.float32)
    return out


_CROSS = ndimage.generate_binary_structure(3, 1)
_CROSS[0], _CROSS[2] = False, False


def spectrum_matched(rng: np.random.Generator, noise: Field) -> Field:
    """Unit-variance noise with the in-plane power spectrum of ``noise`` (z, y, x)."""
    spectrum = np.sqrt((np.abs(np.fft.rfft2(noise)) ** 2).mean(axis=0))
    spectrum[0, 0] = 0.0
    white = np.fft.rfft2(rng.standard_normal(noise.shape, dtype=np.float32))
    shaped = np.fft.irfft2(white * spectrum, s=noise.shape[1:])
    out: Field = (shaped / max(float(shaped.std()), 1e-6)).astype(np.float32)
    return out
