"""Families of models: one file each, over the protocol in `hrvlab.models.families.family`."""

from hrvlab.models.families.carrier import Carrier as Carrier
from hrvlab.models.families.encodings import WordEncodings as WordEncodings
from hrvlab.models.families.family import Family as Family
from hrvlab.models.families.known import FAMILIES as FAMILIES
from hrvlab.models.families.known import denoiser_of as denoiser_of
from hrvlab.models.families.known import family_of as family_of
from hrvlab.models.families.known import find_family as find_family
from hrvlab.models.families.known import find_family_of_denoiser as find_family_of_denoiser
from hrvlab.models.families.known import refusal as refusal
from hrvlab.models.families.known import register_family as register_family
from hrvlab.models.families.stable_diffusion import STABLE_DIFFUSION as STABLE_DIFFUSION
from hrvlab.models.families.stable_diffusion import STABLE_DIFFUSION_XL as STABLE_DIFFUSION_XL
