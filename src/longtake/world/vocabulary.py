"""world/vocabulary: the words of the little world. Knows nothing of how they are drawn or asked about."""

from __future__ import annotations

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 30, 36),
    "orange": (245, 134, 22),
    "yellow": (250, 222, 40),
    "green": (36, 150, 58),
    "cyan": (40, 205, 220),
    "blue": (34, 74, 214),
    "purple": (128, 46, 170),
    "pink": (248, 140, 190),
    "brown": (122, 74, 38),
    "black": (18, 18, 20),
    "white": (246, 246, 244),
    "grey": (136, 138, 142),
}
"""Twelve colour names and their RGB; a drawing varies each a little."""

SHAPES: tuple[str, ...] = (
    *("circle", "square", "triangle", "diamond", "hexagon", "star", "heart", "cross", "ring", "moon"),
    *("arrow", "cloud", "bolt", "flower", "house", "tree", "fish", "cup", "crown", "boat"),
)

PLACES: tuple[str, ...] = ("sea", "forest", "desert", "snow", "night", "city", "sunset", "meadow")

SIDES: tuple[str, ...] = ("left", "middle", "right")
"""Where a shape without a value stands while it moves through the picture."""

NOWHERE = "nowhere"
"""The place of a picture that is of no place of this world."""

NUMBERS: tuple[str, ...] = tuple(str(number) for number in range(1000))

WORDS: tuple[str, ...] = tuple(
    """
    acorn actor album alley amber angel ankle apple april arena armor aunt
    bacon baker bamboo banjo barn basil beach beard bench berry bible bison blanket bone
    book bottle bread brick bridge bucket butter button cabin cactus camel camera candle canoe
    canyon carpet carrot castle cellar cello cereal chair chalk cheese cherry chess church cider
    circus clock cobra coffee comet copper coral cotton couch cousin cradle cream cricket curtain
    daisy dancer diary doctor dollar dolphin donkey dragon dream drum eagle echo elbow engine
    fabric falcon farmer feather fence ferry fiddle finger flute forge fossil fox frame frog
    garden garlic ghost giant ginger glove goat grape guitar hammer harbor hat hazel helmet
    honey hotel igloo island ivory jacket jelly jewel judge jungle kettle kitten knight ladder
    lemon letter lion lizard lobster magnet mango maple marble mask melon mirror monkey motor
    museum nest noodle novel nurse oasis ocean olive onion opera otter oven owl paddle
    palace panda paper parrot peach pearl pencil pepper piano pillow pilot pirate pizza planet
    pocket poem potato puppet puzzle queen quilt rabbit radio ribbon river robot rocket saddle
    salad salmon sailor sand school shadow sheep silver soap spider
    spoon stable tailor tiger tulip turtle violin walnut whale window
    """.split()
)
"""Two hundred plain nouns, none of them a colour, shape or place of this world."""
