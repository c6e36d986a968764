"""The cards: every name resolves to one of them, each takes its own defaults, and prices are the published ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal

import pytest

from pictura.core.capability import OF_EDITS, check
from pictura.core.model import ModelCard
from pictura.core.money import usd
from pictura.core.plugins import discover
from pictura.core.price import Order, PerToken, bill, quote
from pictura.core.size import AUTO, allowed, fit, parse
from pictura.providers.base import Provider
from tests.least import least_options, least_pictures, least_request

#: Every name in use, at vendors and at routers, by the card it must lead to.
NAMES = {
    "gpt-image-2": "GPT-image-2 gpt-image-2-2026-04-21 OG:image2",
    "gpt-image-2.5-flare": "gpt-image-2.5-flare-2026-09-08 openai/gpt-image-2.5/flare",
    "gpt-image-2.6-flare": "",
    "gpt-image-2.5-sunburst": "gpt-image-2.5-sunburst-2026-09-08 openai/gpt-image-2.5/sunburst",
    "gpt-image-2.6-sunburst": "",
    "gpt-image-1.5": "gpt-image-1.5-2025-12-16",
    "gpt-image-1-mini": "",
    "chatgpt-image-latest": "",
    "gpt-image-1": "openai/gpt-image-1",
    "dall-e-3": "openai/dall-e-3",
    "dall-e-2": "openai/dall-e-2",
    "gemini-2.5-flash-image": "Nano-Banana nano-banana gemini-2.5-flash-image-preview GG:2.5 "
    "google/gemini-2.5-flash-image",
    "gemini-3-pro-image": "gemini-3-pro-image-preview Nano-Banana-Pro nano-banana-pro nano-banana-pro-preview GG:3.0",
    "gemini-3.1-flash-image": "Nano-Banana2 Nano-Banana-2 nano-banana-2 gemini-3.1-flash-image-preview GG:3.1",
    "gemini-3.1-flash-lite-image": "GG:3.1-lite",
    "gemini-nano-banana-2.1": "Nano-Banana2.1",
    "imagen-4.0-generate-001": "",
    "imagen-4.0-fast-generate-001": "",
    "imagen-4.0-ultra-generate-001": "",
    "seedream-5.5": "doubao-seedream-5-5-261028 dola-seedream-5-5-261028 seedream-5-5-261028 Seedream:5.5",
    "seedream-5.0-pro": "doubao-seedream-5-0-pro-260628 seedream-5-0-pro-260628 doubao-seedream-5-0-pro "
    "Seedream:5.0-pro dola-seedream-5-0-pro dola-seedream-5-0-pro-260628 seedream-image-v5.0-pro",
    "seedream-5.0-flash": "doubao-seedream-5-0-flash-260915 dola-seedream-5-0-flash-260915 Seedream:5.0-flash",
    "seedream-5.0-lite": "doubao-seedream-5-0-260128 seedream-5-0-260128 seedream-5-0-lite-260128 "
    "doubao-seedream-5-0-lite Seedream:5.0-lite Seedream:5.0 doubao-seedream-5.0-lite SI:5.0-lite "
    "seedream-image-v5.0-lite",
    "seedream-4.5": "doubao-seedream-4-5-251128 Seedream:4.5 seedream-4-5-251128 doubao-seedream-4.5 SI:4.5",
    "seedream-4.0": "doubao-seedream-4-0-250828 Seedream:4.0 seedream-4-0-250828 doubao-seedream-4.0 "
    "seedream-4.0-base SI:4.0",
    "seedream-3.0": "doubao-seedream-3-0-t2i-250415 doubao-seedream-3.0 Seedream:3.0 seedream-3-0-t2i-250415",
    "seededit-3.0": "doubao-seededit-3-0-i2i-250628 SeedEdit:3.0 seededit-3-0-i2i-250628",
    "qwen-image-plus": "qwen-image qwen-image-plus-2026-01-09",
    "qwen-image-max": "qwen-image-max-2025-12-30",
    "qwen-image-2.0": "qwen-image-2.0-2026-03-03",
    "qwen-image-2.0-pro": "qwen-image-2.0-pro-2026-03-03 qwen-image-2.0-pro-2026-04-22",
    "qwen-image-3.0": "",
    "qwen-image-3.0-pro": "",
    "qwen-image-edit-plus": "qwen-image-edit-plus-2025-10-30 qwen-image-edit-plus-2025-12-15",
    "qwen-image-edit-max": "qwen-image-edit-max-2026-01-16",
    "qwen-image-edit": "",
    "wan2.6-t2i": "",
    "wan2.6-image": "",
    "wan2.7-image": "",
    "wan2.7-image-pro": "",
    "kling-v3-omni": "Kling:3.0-omni Kling:3.0-Omni",
    "kling-image-o1": "Kling:O1",
    "kling-v3-image": "kling-v3 Kling:3.0",
    "kling-v2-1": "Kling:2.1",
    "kling-v2-new": "",
    "kling-v2": "Kling:2.0",
    "kling-v1-5": "Kling:1.5",
    "kling-v1": "Kling:1.0",
    "flux-pro-1.1": "",
    "flux-pro-1.1-ultra": "",
    "flux-dev": "flux-1",
    "flux-kontext-pro": "flux-1-kontext-pro black-forest-labs/flux-kontext-pro",
    "flux-kontext-max": "",
    "flux-pro-1.0-fill": "",
    "flux-pro-1.0-expand": "",
    "flux-3-image": "black-forest-labs/flux-3-image",
    "flux-2-pro": "FLUX.2-pro black-forest-labs/flux-2-pro",
    "flux-2-max": "",
    "flux-2-flex": "",
    "flux-2-klein-9b": "",
    "flux-2-klein-4b": "",
    "hunyuan-panorama-2.0": "Hunyuan/3d_2.0 Hunyuan-3d-2.0 hunyuan-3d-2.0",
    "hy-world2-panorama": "HY-World-2.1-panorama",
    "hy-image-v3": "Hunyuan:3.0 hunyuan-image-3 Hy-Image-3.0",
    "hy-image-v3.5-preview": "Hunyuan:3.5-preview",
    "hunyuan-image-legacy": "SubmitHunyuanImageJob hunyuan-image",
    "hunyuan-image-chat": "SubmitHunyuanImageChatJob",
    "hunyuan-image-lite": "TextToImageLite",
    "vod-og-image2": "OG/image2",
    "vod-og-image2.5-sunburst": "OG/image2.5_sunburst",
    "vod-og-image2.5-flare": "OG/image2.5_flare",
    "vod-gg-3.1": "GG/3.1",
    "vod-gg-3.1-lite": "GG/3.1-lite",
    "vod-gg-3.0": "GG/3.0",
    "vod-gg-2.5": "GG/2.5",
    "vod-kling-3.0-omni": "Kling/3.0-Omni",
    "vod-kling-o1": "Kling/O1",
    "vod-kling-3.0": "Kling/3.0",
    "vod-kling-2.1": "Kling/2.1",
    "vod-kling-scene": "Kling/scene",
    "vod-si-5.0-lite": "SI/5.0-lite",
    "vod-si-4.5": "SI/4.5",
    "vod-si-4.0": "SI/4.0",
    "vod-hunyuan-3.0": "Hunyuan/3.0",
    "vod-hunyuan-3.5-preview": "Hunyuan/3.5-preview",
    "vod-vidu-q2": "Vidu/q2",
    "vod-qwen-0925": "Qwen/0925",
    "vod-mingmou-1.0": "Mingmou/1.0",
    "stable-image-ultra": "generate/ultra stability/stable-image-ultra",
    "stable-image-core": "generate/core stability/stable-image-core",
    "sd3.5-large": "stability/sd3.5-large",
    "sd3.5-large-turbo": "stability/sd3.5-large-turbo",
    "sd3.5-medium": "stability/sd3.5-medium",
    "sd3.5-flash": "stability/sd3.5-flash",
    "stable-image-inpaint": "edit/inpaint stability/inpaint",
    "stable-image-erase": "edit/erase stability/erase",
    "stable-image-outpaint": "edit/outpaint stability/outpaint",
    "stable-image-search-and-replace": "edit/search-and-replace stability/search-and-replace",
    "stable-image-search-and-recolor": "edit/search-and-recolor stability/search-and-recolor",
    "stable-image-remove-background": "edit/remove-background stability/remove-background",
    "stable-image-relight": "edit/replace-background-and-relight stability/replace-background-and-relight",
    "stable-image-sketch": "control/sketch stability/sketch",
    "stable-image-structure": "control/structure stability/structure",
    "stable-image-style": "control/style stability/style",
    "stable-image-style-transfer": "control/style-transfer stability/style-transfer",
    "stable-image-upscale-fast": "upscale/fast stability/fast",
    "stable-image-upscale-conservative": "upscale/conservative stability/conservative",
    "stable-image-upscale-creative": "upscale/creative stability/creative",
    "fal-flux-schnell": "fal-ai/flux/schnell",
    "fal-flux-dev": "fal-ai/flux/dev",
    "fal-nano-banana-2": "fal-ai/nano-banana-2",
    "fal-nano-banana-pro": "fal-ai/nano-banana-pro",
    "fal-gpt-image-2": "openai/gpt-image-2",
    "fal-hunyuan-world": "fal-ai/hunyuan_world",
    "fal-flux-pro-1.1": "fal-ai/flux-pro/v1.1",
    "fal-flux-pro-1.1-ultra": "fal-ai/flux-pro/v1.1-ultra",
    "fal-nano-banana": "fal-ai/nano-banana",
    "fal-seedream-3.0": "fal-ai/bytedance/seedream/v3/text-to-image",
    "fal-ideogram-3": "fal-ai/ideogram/v3",
    "fal-recraft-3": "fal-ai/recraft/v3/text-to-image",
    "fal-recraft-vectorize": "fal-ai/recraft/vectorize",
    "fal-bria-remove-background": "fal-ai/bria/background/remove",
    "fal-esrgan": "fal-ai/esrgan",
    "local-a1111": "",
    "local-comfyui": "",
    "local-vllm-omni": "",
    "local-sglang": "",
    "local-diffusers": "",
    "replicate-flux-schnell": "black-forest-labs/flux-schnell",
    "replicate-flux-dev": "black-forest-labs/flux-dev",
    "replicate-flux-1.1-pro": "black-forest-labs/flux-1.1-pro",
    "replicate-flux-kontext-max": "black-forest-labs/flux-kontext-max",
    "replicate-flux-2-flex": "black-forest-labs/flux-2-flex",
    "replicate-flux-fill-pro": "black-forest-labs/flux-fill-pro",
    "replicate-seedream-4.5": "bytedance/seedream-4.5",
    "replicate-nano-banana-pro": "google/nano-banana-pro",
    "replicate-recraft-vectorize": "recraft-ai/recraft-vectorize",
    "replicate-recraft-remove-background": "recraft-ai/recraft-remove-background",
    "replicate-real-esrgan": "nightmareai/real-esrgan",
    "together-flux-schnell": "black-forest-labs/FLUX.1-schnell",
    "together-flux-1.1-pro": "black-forest-labs/FLUX.1.1-pro",
    "together-flux-kontext-pro": "black-forest-labs/FLUX.1-kontext-pro",
    "together-flux-kontext-max": "black-forest-labs/FLUX.1-kontext-max",
    "together-flux-2-pro": "black-forest-labs/FLUX.2-pro",
    "together-flux-2-dev": "black-forest-labs/FLUX.2-dev",
    "together-flux-2-flex": "black-forest-labs/FLUX.2-flex",
    "runware-flux-dev": "runware:101@1",
    "runware-flux-schnell": "runware:100@1",
    "runware-flux-1.1-pro": "bfl:2@1",
    "runware-flux-kontext-pro": "bfl:3@1",
    "runware-flux-2-pro": "bfl:5@1",
    "runware-flux-fill-pro": "bfl:1@2",
    "runware-seedream-4.5": "bytedance:seedream@4.5",
    "runware-recraft-vectorize": "recraft:1@1",
    "runware-birefnet": "runware:112@1",
    "runware-swinir": "runware:503@1",
    "imagerouter-juggernaut-pro": "run-diffusion/Juggernaut-Pro-Flux",
    "imagerouter-hidream-i1": "HiDream-ai/HiDream-I1-Full",
    "imagerouter-flux-2-klein-free": "black-forest-labs/FLUX-2-klein-4b:free",
    "imagerouter-midjourney": "midjourney/midjourney",
    "omnirouters-nano-banana2": "omnirouters/Nano-Banana2",
    "omnirouters-gpt-image-2": "omnirouters/GPT-image-2",
    "omnirouters-kling-3.0-omni": "omnirouters/Kling:3.0-omni",
    "omnirouters-seedream-4.5": "omnirouters/Seedream:4.5",
    "omnirouters-hunyuan-panorama-2.0": "omnirouters/Hunyuan-3d-2.0",
    "mixroute-gemini-2.5-flash-image": "mixroute/gemini-2.5-flash-image",
    "mixroute-seedream-4.5": "mixroute/doubao-seedream-4-5-251128",
    "mixroute-gpt-image-1-mini": "mixroute/gpt-image-1-mini",
    "mixroute-qwen-image-plus": "mixroute/qwen-image-plus",
    "new-api-gpt-image-1-all": "gpt-image-1-all",
    "openrouter-seedream-4.5": "bytedance-seed/seedream-4.5",
    "openrouter-gemini-3.1-flash-image": "google/gemini-3.1-flash-image",
    "openrouter-gpt-image-2": "openrouter/openai/gpt-image-2",
    "azure-gpt-image-2": "azure/gpt-image-2",
    "azure-flux-1.1-pro": "FLUX-1.1-pro",
    "azure-flux-kontext-pro": "FLUX.1-Kontext-pro",
    "litellm-default": "",
    "test/test": "imagerouter-test",
}

#: As the pages of ImageRouter, OmniRouters, QuickRouter, MixRoute and OpenOpen8 write them (2026).
WRITTEN_BY_CLIENTS = {
    "test/test": "test/test",
    "Nano-Banana2": "gemini-3.1-flash-image",
    "GPT-image-2": "gpt-image-2",
    "Kling:3.0-omni": "kling-v3-omni",
    "Seedream:4.5": "seedream-4.5",
    "Hunyuan-3d-2.0": "hunyuan-panorama-2.0",
    "flux-kontext-pro": "flux-kontext-pro",
    "flux-1": "flux-dev",
    "qwen-image-plus": "qwen-image-plus",
    "qwen-image-edit-plus": "qwen-image-edit-plus",
    "gpt-image-1": "gpt-image-1",
    "gpt-image-1-mini": "gpt-image-1-mini",
    "gpt-image-1.5": "gpt-image-1.5",
    "doubao-seedream-3-0-t2i-250415": "seedream-3.0",
    "doubao-seedream-4-0-250828": "seedream-4.0",
    "doubao-seedream-4-5-251128": "seedream-4.5",
    "doubao-seededit-3-0-i2i-250628": "seededit-3.0",
    "doubao-seedream-3.0": "seedream-3.0",
    "doubao-seedream-4.0": "seedream-4.0",
    "seedream-4.0-base": "seedream-4.0",
    "gemini-2.5-flash-image": "gemini-2.5-flash-image",
    "gemini-3-pro-image-preview": "gemini-3-pro-image",
    "dall-e-2": "dall-e-2",
    "dall-e-3": "dall-e-3",
}

#: Model, quality, size, dollars as published: by the vendor, or by third parties that cite it (2025 to 2026-11).
PUBLISHED = """
gpt-image-2             low      1024x1024  0.00588
gpt-image-2             medium   1024x1024  0.05268
gpt-image-2             high     1024x1024  0.21072
gpt-image-2             high     3840x2160  0.400
gpt-image-2.5-flare     low      1024x1024  0.0059
gpt-image-2.5-flare     medium   1024x1024  0.0132
gpt-image-2.5-flare     high     1024x1024  0.0527
gpt-image-2.5-sunburst  xhigh    1024x1024  0.0937
gpt-image-2.5-sunburst  max      1024x1024  0.2107
gpt-image-2.6-sunburst  max      3840x2160  0.400
gpt-image-1.5           low      1024x1024  0.009
gpt-image-1.5           medium   1024x1024  0.034
gpt-image-1.5           high     1024x1024  0.133
gpt-image-1.5           low      1536x1024  0.013
gpt-image-1.5           medium   1024x1536  0.05
gpt-image-1.5           high     1536x1024  0.20
chatgpt-image-latest    high     1024x1024  0.133
gpt-image-1-mini        low      1024x1024  0.005
gpt-image-1-mini        medium   1024x1024  0.011
gpt-image-1             low      1024x1024  0.011
gpt-image-1             medium   1024x1024  0.042
gpt-image-1             high     1024x1024  0.167
dall-e-3                standard 1024x1024  0.04
dall-e-3                standard 1792x1024  0.08
dall-e-3                hd       1024x1024  0.08
dall-e-3                hd       1024x1792  0.12
dall-e-2                -        256x256    0.016
dall-e-2                -        512x512    0.018
dall-e-2                -        1024x1024  0.02
gemini-2.5-flash-image  -        1K         0.039
gemini-3-pro-image      -        1K         0.134
gemini-3-pro-image      -        2K         0.134
gemini-3-pro-image      -        4K         0.24
gemini-3.1-flash-image  -        512        0.045
gemini-3.1-flash-image  -        1K         0.067
gemini-3.1-flash-image  -        2K         0.101
gemini-3.1-flash-image  -        4K         0.151
gemini-3.1-flash-lite-image -    1K         0.0336
gemini-nano-banana-2.1  -        1K         0.0336
gemini-nano-banana-2.1  -        2K         0.0504
gemini-nano-banana-2.1  -        4K         0.1134
imagen-4.0-generate-001 -        1K         0.04
imagen-4.0-fast-generate-001 -   1K         0.02
imagen-4.0-ultra-generate-001 -  2K         0.06
seedream-5.5            -        1K         0.02
seedream-5.5            -        2K         0.035
seedream-5.0-pro        -        1K         0.045
seedream-5.0-pro        -        2K         0.09
seedream-5.0-flash      -        2K         0.018
seedream-5.0-lite       -        2K         0.035
seedream-4.5            -        4K         0.04
seedream-4.0            -        2K         0.03
seedream-3.0            -        1024x1024  0.03
qwen-image-plus         -        1328x1328  0.03
qwen-image-max          -        1328x1328  0.075
qwen-image-2.0          -        2048x2048  0.035
qwen-image-2.0-pro      -        2048x2048  0.075
qwen-image-3.0          -        2048x2048  0.03
qwen-image-3.0-pro      -        1500x1500  0.04
qwen-image-3.0-pro      -        1536x1536  0.075
qwen-image-edit-plus    -        1024x1024  0.03
qwen-image-edit-max     -        1024x1024  0.075
qwen-image-edit         -        1024x1024  0.045
wan2.7-image            -        2048x2048  0.03
wan2.7-image-pro        -        4096x4096  0.075
kling-v3-omni           -        2K         0.028
kling-v3-omni           -        4K         0.056
kling-image-o1          -        1K         0.028
kling-v3-image          -        1K         0.028
kling-v2-1              -        1K         0.014
kling-v2-new            -        1K         0.014
kling-v2                -        1K         0.014
kling-v1-5              -        1K         0.014
kling-v1                -        1K         0.0035
flux-pro-1.1            -        1024x768   0.04
flux-pro-1.1-ultra      -        2752x1536  0.06
flux-dev                -        1024x768   0.025
flux-kontext-pro        -        1024x1024  0.04
flux-kontext-max        -        1024x1024  0.08
flux-pro-1.0-fill       -        1024x1024  0.05
flux-pro-1.0-expand     -        1024x1024  0.05
flux-3-image            -        1k         0.048
flux-3-image            -        2k         0.10
flux-3-image            -        4k         0.607
flux-2-pro              -        1024x1024  0.03
flux-2-pro              -        2048x2048  0.075
flux-2-max              -        1024x1024  0.07
flux-2-max              -        2048x1024  0.10
flux-2-flex             -        2048x1024  0.10
flux-2-klein-9b         -        2048x1024  0.017
flux-2-klein-4b         -        2048x1024  0.015
stable-image-ultra      -        1024x1024  0.08
stable-image-core       -        1024x1024  0.03
sd3.5-large             -        1024x1024  0.065
sd3.5-large-turbo       -        1024x1024  0.04
sd3.5-medium            -        1024x1024  0.035
sd3.5-flash             -        1024x1024  0.025
stable-image-inpaint    -        auto       0.05
stable-image-erase      -        auto       0.05
stable-image-outpaint   -        auto       0.04
stable-image-search-and-replace - auto      0.05
stable-image-search-and-recolor - auto      0.05
stable-image-remove-background - auto       0.05
stable-image-relight    -        auto       0.08
stable-image-sketch     -        auto       0.05
stable-image-structure  -        auto       0.05
stable-image-style      -        1024x1024  0.05
stable-image-style-transfer -    auto       0.08
stable-image-upscale-fast -      auto       0.02
stable-image-upscale-conservative - auto    0.40
stable-image-upscale-creative -  auto       0.60
hy-image-v3.5-preview   -        1024x1024  0.024
hy-image-v3.5-preview   -        4096x4096  0.032
fal-flux-schnell        -        1024x768   0.003
fal-flux-dev            -        1024x768   0.025
fal-nano-banana-2       -        0.5K       0.06
fal-nano-banana-2       -        1K         0.08
fal-nano-banana-2       -        2K         0.12
fal-nano-banana-2       -        4K         0.16
fal-nano-banana-pro     -        2K         0.15
fal-nano-banana-pro     -        4K         0.30
fal-gpt-image-2         low      1024x1024  0.006
fal-gpt-image-2         medium   1024x1024  0.053
fal-gpt-image-2         high     1024x1024  0.211
fal-gpt-image-2         high     3840x2160  0.400
fal-hunyuan-world       -        auto       0.15
fal-flux-schnell        -        2048x2048  0.012
fal-flux-pro-1.1        -        1024x1024  0.04
fal-flux-pro-1.1-ultra  -        16:9       0.06
fal-nano-banana         -        16:9       0.039
fal-seedream-3.0        -        1024x1024  0.03
fal-ideogram-3          -        1024x1024  0.06
fal-recraft-3           -        1024x1024  0.04
fal-recraft-vectorize   -        auto       0.01
fal-bria-remove-background -     auto       0.018
replicate-flux-schnell  -        1024x1024  0.003
replicate-flux-dev      -        1024x1024  0.025
replicate-flux-1.1-pro  -        1344x768   0.04
replicate-flux-kontext-max -     1024x1024  0.08
replicate-flux-2-flex   -        1024x1024  0.06
replicate-flux-fill-pro -        auto       0.05
replicate-seedream-4.5  -        4K         0.04
replicate-nano-banana-pro -      2K         0.15
replicate-nano-banana-pro -      4K         0.30
replicate-recraft-vectorize -    auto       0.01
replicate-recraft-remove-background - auto  0.01
together-flux-schnell   -        1024x1024  0.002831
together-flux-1.1-pro   -        1024x1024  0.04
together-flux-kontext-pro -      1024x1024  0.04
together-flux-kontext-max -      1024x1024  0.08
together-flux-2-pro     -        1024x1024  0.03
together-flux-2-dev     -        1024x1024  0.016148
together-flux-2-flex    -        1024x1024  0.031457
runware-flux-1.1-pro    -        1024x1024  0.04
runware-flux-kontext-pro -       1024x1024  0.04
runware-flux-2-pro      -        1024x1024  0.03
runware-flux-fill-pro   -        auto       0.05
runware-seedream-4.5    -        2048x2048  0.04
runware-recraft-vectorize -      auto       0.01
imagerouter-juggernaut-pro low   1024x1024  0.0025
imagerouter-juggernaut-pro high  1024x1024  0.0095
imagerouter-hidream-i1  medium   1024x1024  0.009
imagerouter-flux-2-klein-free -  1024x1024  0
imagerouter-midjourney  -        auto       0.0848
openrouter-seedream-4.5 -        2K         0.04
openrouter-gemini-3.1-flash-image - 4K      0.151
openrouter-gpt-image-2  high     1024x1024  0.21072
azure-gpt-image-2       medium   1024x1024  0.05268
azure-flux-1.1-pro      -        1024x1024  0.04
azure-flux-kontext-pro  -        1024x1024  0.04
test/test               -        1024x1024  0
local-a1111             -        512x512    0
"""
ROWS = [line.split() for line in PUBLISHED.splitlines() if line]

#: What is sold for a price nobody knows, or for yuan only.
UNPRICED = {
    *("omnirouters-nano-banana2", "omnirouters-gpt-image-2", "omnirouters-kling-3.0-omni"),
    *("omnirouters-seedream-4.5", "omnirouters-hunyuan-panorama-2.0"),
    *("mixroute-gemini-2.5-flash-image", "mixroute-seedream-4.5", "mixroute-gpt-image-1-mini"),
    *("mixroute-qwen-image-plus", "new-api-gpt-image-1-all", "litellm-default"),
    *("runware-flux-dev", "runware-flux-schnell", "runware-birefnet", "runware-swinir"),
    *("fal-esrgan", "replicate-real-esrgan"),
    *("wan2.6-t2i", "wan2.6-image"),
    *("vod-og-image2", "vod-og-image2.5-sunburst", "vod-og-image2.5-flare"),
    *("vod-gg-3.1", "vod-gg-3.1-lite", "vod-gg-3.0", "vod-gg-2.5", "vod-vidu-q2", "vod-qwen-0925", "vod-mingmou-1.0"),
    *("vod-kling-3.0-omni", "vod-kling-o1", "vod-kling-3.0", "vod-kling-2.1", "vod-kling-scene"),
    *("vod-si-5.0-lite", "vod-si-4.5", "vod-si-4.0", "vod-hunyuan-3.0", "vod-hunyuan-3.5-preview"),
    *("hy-world2-panorama", "hy-image-v3", "hunyuan-image-legacy", "hunyuan-image-chat", "hunyuan-image-lite"),
}


def every_card() -> Iterator[ModelCard]:
    found, _ = discover("pictura.providers", "pictura.providers", Provider)  # type: ignore[type-abstract]
    for provider in found.values():
        yield from provider.MODELS


CARDS = {card.id: card for card in every_card()}
BY_NAME = {name.lower(): card for card in CARDS.values() for name in card.names}
cards = pytest.mark.parametrize("card", CARDS.values(), ids=lambda card: card.id)


@pytest.mark.parametrize("model", NAMES)
def test_every_name_of_a_model_leads_to_its_card(model: str) -> None:
    for name in [model, *NAMES[model].split()]:
        assert BY_NAME[name.lower()].id == model


def test_every_card_is_one_whose_names_are_tested() -> None:
    assert CARDS.keys() == NAMES.keys()


@pytest.mark.parametrize("name", WRITTEN_BY_CLIENTS)
def test_names_as_clients_write_them(name: str) -> None:
    assert BY_NAME[name.lower()].id == WRITTEN_BY_CLIENTS[name]


def test_no_two_cards_share_a_name() -> None:
    claims = [(name, card.id) for card in CARDS.values() for name in {name.lower() for name in card.names}]
    assert len({name for name, _ in claims}) == len(claims)


@cards
def test_a_card_takes_its_own_default_request(card: ModelCard) -> None:
    assert check(least_request(card), card) == []
    fit(AUTO, card.sizes)


@cards
def test_a_card_takes_every_size_it_lists(card: ModelCard) -> None:
    for word in allowed(card.sizes):
        asked = parse(word)
        given = fit(asked, card.sizes)
        assert asked.auto or str(given).lower() == str(asked).lower()


@cards
def test_a_card_takes_its_own_defaults(card: ModelCard) -> None:
    told = {name: getattr(option, "default", None) for name, option in card.params.items()}
    defaults = {name: default for name, default in told.items() if default is not None}
    if not least_pictures(card):
        defaults = {name: default for name, default in defaults.items() if name not in OF_EDITS}
    assert check(least_request(card, params={**defaults, **least_options(card)}), card) == []


@cards
def test_dates_are_dates(card: ModelCard) -> None:
    for date in (card.released, *filter(None, [card.ends])):
        assert re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])", date)
    assert card.source.name and card.source.confidence


@cards
def test_what_ends_has_a_successor_that_lives(card: ModelCard) -> None:
    if card.status == "live":
        assert not card.ends and not card.successor
    else:
        assert CARDS[card.successor].status == "live"
    assert card.ends or card.status != "retired"


@cards
def test_a_price_has_a_source_or_a_note_says_why_there_is_none(card: ModelCard) -> None:
    assert (card.price is None) == (card.id in UNPRICED)
    if card.price is None:
        assert card.notes
    else:
        assert card.price_source


@pytest.mark.parametrize(("model", "quality", "size", "dollars"), ROWS, ids=[" ".join(row[:3]) for row in ROWS])
def test_a_picture_costs_what_is_published(model: str, quality: str, size: str, dollars: str) -> None:
    price = CARDS[model].price
    assert price is not None
    micros = bill(price, Order(sizes=(parse(size),), quality=quality.strip("-")))
    if isinstance(price, PerToken):  # publishers round what tokens cost
        assert (Decimal(micros) / 1_000_000).quantize(Decimal(dollars), ROUND_HALF_UP) == Decimal(dollars)
    else:
        assert micros == usd(dollars)


def test_output_tokens_to_the_micro_dollar() -> None:
    price = CARDS["gpt-image-2"].price
    assert price is not None
    costs = [bill(price, Order(sizes=(parse("1024x1024"),), quality=q)) for q in ("low", "medium", "high")]
    assert costs == [196 * 30, 1756 * 30, 7024 * 30]


@cards
def test_the_hold_covers_the_bill(card: ModelCard) -> None:
    if card.price is not None:
        order = Order(sizes=(AUTO, AUTO), prompt_bytes=400, inputs=min(2, card.inputs.count))
        assert quote(card.price, order) >= bill(card.price, order)
