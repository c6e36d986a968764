"""Colours that go together, as `#rrggbb`."""

from __future__ import annotations

import msgspec


class Palette(msgspec.Struct, frozen=True):
    """`words` are the moods that call for it; `a `night` is dark throughout and wants white writing."""

    words: str
    sky: tuple[str, str, str]  # top, middle, horizon
    light: str  # sun, moon, lamps
    land: tuple[str, str]  # farthest, nearest
    accent: str
    night: bool = False


def rgb(color: str) -> tuple[int, int, int]:
    """`#rrggbb` as three numbers 0-255."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def mix(first: str, second: str, share: float) -> str:
    """The colour `share` of the way (0-1) from `first` to `second`."""
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(rgb(first), rgb(second), strict=True))


DAWN = Palette(
    words="dawn sunrise morning romantic 清晨 日出 黎明 早晨",
    sky=("#3d4e86", "#c97b8e", "#ffd6a0"),
    light="#fff3d6",
    land=("#c88f9c", "#2b2747"),
    accent="#ff9f80",
)
DAY = Palette(
    words="day spring summer fresh sunny 春 夏 晴 白天",
    sky=("#6fc3df", "#bfe6e2", "#fdf5df"),
    light="#ffffff",
    land=("#a9d6bd", "#1d5c58"),
    accent="#ff8c61",
)
NIGHT = Palette(
    words="night midnight moon dark neon 夜 月 霓虹 星空",
    sky=("#0a1030", "#20306a", "#5a6ba6"),
    light="#f8eecb",
    land=("#3f5288", "#080c20"),
    accent="#f2b84b",
    night=True,
)
AUTUMN = Palette(
    words="desert hot autumn fall warm 秋 沙漠 温暖 枫",
    sky=("#f4a259", "#f9bd78", "#ffe9bf"),
    light="#fff6df",
    land=("#ee8a5f", "#56203d"),
    accent="#2a7f9e",
)
WINTER = Palette(
    words="winter snow ice cold frozen 冬 雪 冰 寒",
    sky=("#8fb3d6", "#d2e2f0", "#fdf1ec"),
    light="#ffffff",
    land=("#c3d4e6", "#34506f"),
    accent="#e2725b",
)
DUSK = Palette(
    words="dusk evening sunset dream twilight 傍晚 黄昏 日落 夕阳 梦",
    sky=("#4b3f7d", "#b184c0", "#fbd3dc"),
    light="#fff4e2",
    land=("#a286c4", "#211740"),
    accent="#ffcf5c",
)
TEA = Palette(
    words="green tea jungle mist fog rain 绿 茶 雾 雨 竹",
    sky=("#a9c6b4", "#d5e3cf", "#f9f4dc"),
    light="#fffbe6",
    land=("#a6c4a6", "#17352b"),
    accent="#e6b24a",
)
DEEP = Palette(
    words="blue deep underwater calm 蓝 深 水下 宁静",
    sky=("#07486b", "#2299b7", "#d3f0f0"),
    light="#fffbe8",
    land=("#7fcfd0", "#062c43"),
    accent="#ffb534",
)
INK = Palette(
    words="ink zen minimal watercolor watercolour 水墨 国画 禅 极简 古风",
    sky=("#ddd6c6", "#ece6d8", "#faf6ec"),
    light="#cf4a35",
    land=("#bcbab0", "#2c3134"),
    accent="#cf4a35",
)
EMBER = Palette(
    words="fire lava dragon cyberpunk ember 火 龙 赛博朋克 熔岩",
    sky=("#1c1330", "#6d2a5c", "#f4735e"),
    light="#ffe2b3",
    land=("#a13d63", "#160d24"),
    accent="#36c5c0",
    night=True,
)

PALETTES = (DAWN, DAY, NIGHT, AUTUMN, WINTER, DUSK, TEA, DEEP, INK, EMBER)
