"""Parameters as the authors' own code has them, by part; only at profile `paper` are ours the same networks.

DIAMOND: Alonso et al. 2024, counted from github.com/eloialonso/diamond, branch csgo, with the number of
actions given (the reduced and the latent size are those of the recipe this project follows). TAESD: counted
from github.com/madebyollin/taesd. GameNGen (Valevski et al. 2024) is built around the U-Net of Stable
Diffusion 1.4, counted from diffusers' UNet2DConditionModel as that model's config.json sets it up (4 channels
in, tokens of 768, no classes).
"""

from __future__ import annotations

TAESD = {"encoder": 1_222_532, "decoder": 1_222_531}

PUBLISHED: dict[tuple[str, int], dict[str, int]] = {
    ("diamond-vae", 2): {"denoiser": 73_830_788, **TAESD},
    ("diamond", 51): {"denoiser": 330_489_219, "upsampler": 51_149_187},
    ("diamond", 2): {"denoiser": 330_464_131, "upsampler": 51_149_187},
    ("diamond-small", 2): {"denoiser": 73_827_331, "upsampler": 30_306_691},
}
"""By model and number of actions."""

BUILT_AROUND = {("gamengen", "u-net"): 859_520_964}
"""By model and part: the published network that a part adds inputs to, for any number of actions."""


def published_parameters(model: str, profile: str, num_actions: int, part: str) -> int | None:
    """The published count of a part; None if nobody published one for this size and these actions."""
    if profile != "paper":
        return None
    return PUBLISHED.get((model, num_actions), {}).get(part, BUILT_AROUND.get((model, part)))
