import types

import pytest
import torch
from diffusers import (
    FasterCacheConfig,
    FirstBlockCacheConfig,
    FluxTransformer2DModel,
    PyramidAttentionBroadcastConfig,
)
from diffusers.hooks import (
    HookRegistry,
    apply_faster_cache,
    apply_layerwise_casting,
    apply_pyramid_attention_broadcast,
)

from hrvlab.models.caches import active_cache
from tests.pipelines import tiny_sd


def broadcast(pipe):
    config = PyramidAttentionBroadcastConfig(
        cross_attention_block_skip_range=2, current_timestep_callback=lambda: 500
    )
    apply_pyramid_attention_broadcast(pipe.unet, config)
    return "Pyramid Attention Broadcast"


def faster(pipe):
    config = FasterCacheConfig(
        spatial_attention_block_skip_range=2,
        tensor_format="BCHW",
        current_timestep_callback=lambda: 500,
    )
    apply_faster_cache(pipe.unet, config)
    return "FasterCache"


@pytest.mark.parametrize("enable", [broadcast, faster])
def test_a_cache_of_a_unet_is_named_with_the_way_to_remove_it(enable):
    unet = (pipe := tiny_sd()).unet
    name = enable(pipe)
    said = active_cache(unet)
    assert said.startswith(f"{name} reuses attention of earlier steps; remove it with")
    names = said.partition("where name is ")[2].replace("'", "").split(", ")
    for one in names:
        HookRegistry.check_if_exists_or_initialize(unet).remove_hook(one, recurse=True)
    assert active_cache(unet) is None


def test_a_cache_of_a_transformer_is_disabled_by_itself():
    transformer = FluxTransformer2DModel(
        num_layers=1,
        num_single_layers=2,
        num_attention_heads=2,
        attention_head_dim=8,
        joint_attention_dim=16,
        pooled_projection_dim=16,
        axes_dims_rope=(2, 2, 4),
    )
    assert active_cache(transformer) is None
    transformer.enable_cache(FirstBlockCacheConfig(threshold=0.2))
    said = "FirstBlockCache reuses attention of earlier steps; call its disable_cache()"
    assert active_cache(transformer) == said
    transformer.disable_cache()
    assert active_cache(transformer) is None


def test_blocks_that_deepcache_wraps_are_noticed():
    unet = tiny_sd().unet
    # Its helper replaces the forward method of blocks by functions of its module.
    module = types.ModuleType("DeepCache.extension.deepcache")
    exec("def wrapped_forward(*args, **kwargs): ...", vars(module))
    unet.down_blocks[0].forward = module.wrapped_forward
    assert (
        active_cache(unet)
        == "DeepCache reuses blocks of earlier steps; call its helper's disable()"
    )


def test_other_hooks_are_no_caches():
    unet = tiny_sd().unet
    apply_layerwise_casting(unet, torch.bfloat16, torch.float32)
    assert active_cache(unet) is None
