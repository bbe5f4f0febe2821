"""d(x) of Eq. 6: the random blurs, resizes, noise and JPEG of BSRGAN (Zhang et al., ICCV 2021), as DifFIQA uses them.

The released code enlarges the crop to 512 pixels, degrades it at scale factor 4 and shrinks the result again. So does
this, but it computes only what can be told apart. Resizes and round blurs are matrices, multiplied with each other and
with the image only when something else needs its pixels. Other blurs are products of spectra, at half the density as
long as the image is a smooth enlargement. So the 512-pixel canvas is filled only where noise or JPEG meets it.

Randomness and arithmetic are apart: `draw_plan` turns a seed into a `Plan`, `apply_plans` turns images and plans into
degraded images. The same seed gives the same degradation whatever else is in the batch.
"""

from difiqa_hf.degradation.chain import degrade, degrade_together

__all__ = ["degrade", "degrade_together"]
