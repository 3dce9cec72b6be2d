"""Drawings of networks as blocks, computed from the networks themselves, so that they cannot drift."""

from dataclasses import dataclass, field
from itertools import pairwise

from matplotlib import pyplot
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

from helpers.backend import keras
from helpers.errors import CourseError

# They belong to the convolution beside them: no block of their own.
_FOLDED = [
    "BatchNormalization",
    "Normalization",
    "Rescaling",
    "Dropout",
    "Activation",
    "ReLU",
    "LeakyReLU",
    "ZeroPadding2D",
    "UpSampling2D",
    "Reshape",
    "Concatenate",
    "Add",
]
_TALLEST, _SHORTEST, _WIDEST, _NARROWEST = 1.5, 0.05, 0.5, 0.05  # inches
_PITCH, _VECTOR_PITCH = 0.66, 0.42  # inches from block to block, for their labels
_BEND = 0.25  # how far an arc's control point lies from the line between its ends, over their distance
_COLORS = {
    "input": "#b5b5b5",
    "map": "#6fa8dc",
    "within": "#8e7cc3",
    "vector": "#e69138",
    "output": "#6aa84f",
}


@dataclass
class Block:
    """One box of a drawing: a map or a vector that a layer gives."""

    shape: tuple[int, ...]
    sources: list["Block"]
    kind: str
    name: str = ""
    row: int = 0
    x: float = 0.0
    before: "Block | None" = field(default=None, repr=False)

    @property
    def label(self) -> str:
        """The size in words, as "48² × 64"; of a vector its length."""
        if len(self.shape) == 1:
            return str(self.shape[0])
        height, width, channels = self.shape
        return f"{height}² × {channels}" if height == width else f"{height} × {width} × {channels}"

    @property
    def size(self) -> tuple[float, ...]:
        """Map: (side, channels). Vector: (length,)."""
        return (self.shape[0], self.shape[-1]) if len(self.shape) == 3 else self.shape


def draw(network: keras.Model, side: int, title: str = "") -> Figure:
    """Draw a network as blocks with their sizes, from its inputs to its outputs.

    The height of a block follows the side of its map, its width the number of channels (by its root). A
    vector is a thin bar. Normalization, activation, dropout, padding and upsampling belong to the
    convolution beside them. What skips blocks to be concatenated or added later is an arc. A network
    within the network is drawn as the maps that it gives.

    Parameters
    ----------
    network : keras.Model
        A functional network of photographs and perhaps vectors.
    side : int
        The side of the photographs, in pixels.
    title : str
        What stands over the drawing.

    Returns
    -------
    matplotlib.figure.Figure
        The figure, ready for `helpers.display.show`. Its artists have a `gid`: block, line, arc or branch.

    Raises
    ------
    CourseError
        If the network is not functional, or does not take photographs of that side.
    """
    blocks = _laid_out(*_blocks(network, side))
    maps = [block.shape for block in blocks if len(block.shape) == 3]
    tallest, most = max(shape[0] for shape in maps), max(shape[-1] for shape in maps)
    boxes = {id(block): _box(block, tallest, most) for block in blocks}
    middles = _middles(blocks, boxes)
    for block in blocks:
        box = boxes[id(block)]
        box.set_y(middles[block.row] - box.get_height() / 2)
    arrows = [_arrow(source, block, boxes) for block in blocks for source in block.sources]
    right = max(block.x for block in blocks) + 0.45
    below = min(box.get_y() for box in boxes.values()) - 0.3
    above = max(box.get_y() + box.get_height() for box in boxes.values()) + 0.25
    above = max([above, *(_peak(arrow) + 0.05 for arrow in arrows if arrow.get_gid() == "arc")])
    figure, axis = pyplot.subplots(figsize=(right + 0.5, above - below + 0.25 * bool(title)))
    figure.subplots_adjust(0, 0, 1, (above - below) / figure.get_figheight())
    axis.set(xlim=(-0.5, right), ylim=(below, above), title=title)
    axis.set_axis_off()
    for artist in (*boxes.values(), *arrows):
        axis.add_patch(artist)
    arcs = [(source, block) for block in blocks for source in block.sources if _is_arc(source, block)]
    for block in blocks:
        box = boxes[id(block)]
        style = {"fontsize": 8.5, "bbox": {"fc": "white", "ec": "none", "pad": 0.6}}
        axis.text(block.x, box.get_y() - 0.07, block.label, ha="center", va="top", **style)
        # An arc ends over the middle of its block, or begins there.
        aside = -0.05 if any(block is source for source, _ in arcs) else 0.0
        aside = 0.1 if any(block is target for _, target in arcs) else aside
        top = box.get_y() + box.get_height() + 0.07
        side_of_it = {0.0: "center", 0.1: "left", -0.05: "right"}[aside]
        axis.text(block.x + aside, top, block.name, ha=side_of_it, fontsize=9, fontweight="bold")
    return figure


def _box(block: Block, tallest: int, most: int) -> Rectangle:
    """Draw a block; its row moves it up or down later."""
    high, wide = 0.7, 0.07
    if len(block.shape) == 3:
        high = max(_SHORTEST, _TALLEST * block.shape[0] / tallest)
        wide = max(_NARROWEST, _WIDEST * (block.shape[-1] / most) ** 0.5)
    color = _COLORS[block.kind]
    box = Rectangle((block.x - wide / 2, 0), wide, high, fc=color, ec="#333333", lw=0.7, zorder=2)
    box.set_gid("block")
    return box


def _middles(blocks: list[Block], boxes: dict[int, Rectangle]) -> list[float]:
    """Place the rows one under the other, with room for what is written over and under their blocks."""
    halves = [0.0] * (1 + max(block.row for block in blocks))
    for block in blocks:
        halves[block.row] = max(halves[block.row], boxes[id(block)].get_height() / 2)
    middles = [0.0]
    for upper, lower in pairwise(halves):
        middles.append(middles[-1] - upper - lower - 0.6)
    return middles


def _peak(arc: FancyArrowPatch) -> float:
    """Return how high an arc rises, in the drawing's inches."""
    (left, start), (right, end) = arc._posA_posB
    return (start + end) / 2 + _BEND * (right - left) / 2


def _is_arc(source: Block, block: Block) -> bool:
    return source.row == block.row and block.before is not source


def _arrow(source: Block, block: Block, boxes: dict[int, Rectangle]) -> FancyArrowPatch:
    """Draw how one block reaches another: along its row, over it, or from row to row."""
    start, end = boxes[id(source)], boxes[id(block)]
    middle, target = start.get_y() + start.get_height() / 2, end.get_y() + end.get_height() / 2
    if _is_arc(source, block):
        kind, style = "arc", f"arc3,rad={-_BEND}"
        points = [(source.x, start.get_y() + start.get_height()), (block.x, end.get_y() + end.get_height())]
    elif source.row == block.row:
        kind, style = "line", "arc3"
        points = [(source.x + start.get_width() / 2, middle), (block.x - end.get_width() / 2, target)]
    elif source.row < block.row:
        kind, style = "branch", "angle,angleA=-90,angleB=180"
        points = [(source.x, start.get_y()), (block.x - end.get_width() / 2, target)]
    else:
        kind, style = "branch", "angle,angleA=0,angleB=90"
        points = [(source.x + start.get_width() / 2, middle), (block.x, end.get_y())]
    arrow = FancyArrowPatch(
        *points,
        connectionstyle=style,
        arrowstyle="-|>",
        mutation_scale=7,
        shrinkA=0,
        shrinkB=0,
        lw=0.9,
        color="#a0301c" if kind == "arc" else "#333333",
        zorder=1,
    )
    arrow.set_gid(kind)
    return arrow


def _blocks(network: keras.Model, side: int) -> tuple[list[Block], list[Block]]:
    """Find the blocks of a network in the order of its computation, and which of them are its outputs."""
    if not getattr(network, "inputs", None) or not isinstance(network, keras.Model):
        raise CourseError("only a functional network can be drawn: one made by keras.Model(inputs, outputs)")
    tensors = _tensors(network)
    shapes = dict(zip(map(id, tensors), _shapes(network, tensors, side), strict=True))
    outputs, made, found = {id(tensor) for tensor in network.outputs}, {}, []
    for tensor in tensors:
        layer, node, number = _origin(tensor)
        sources = list({id(b): b for given in node.input_tensors for b in made[id(given)]}.values())
        shape = shapes[id(tensor)]
        is_input = any(tensor is given for given in network.inputs)
        folded = type(layer).__name__ in _FOLDED and not (
            id(tensor) in outputs and (len(sources) > 1 or sources[0].shape != shape)
        )
        if folded:
            made[id(tensor)] = sources
            if id(tensor) in outputs:
                sources[0].kind = "output"
            continue
        if isinstance(layer, keras.Model) and number:
            # The maps of a network within it stand one after the other.
            sources = made[id(node.output_tensors[number - 1])]
        kind = "vector" if len(shape) == 1 else "map"
        kind = "input" if is_input else "output" if id(tensor) in outputs else kind
        name = tensor.name if is_input else layer.name if id(tensor) in outputs else ""
        if isinstance(layer, keras.Model):
            kind, name = ("within", name) if number else ("within", layer.name)
        found.append(Block(shape, sources, kind, name))
        made[id(tensor)] = [found[-1]]
    return found, [made[id(tensor)][0] for tensor in network.outputs]


def _origin(tensor: keras.KerasTensor) -> tuple[keras.layers.Layer, object, int]:
    """Return the layer that gives a tensor, its node of the graph, and which of the node's outputs it is."""
    layer, node, number = tensor._keras_history
    return layer, layer._inbound_nodes[node], number


def _tensors(network: keras.Model) -> list[keras.KerasTensor]:
    """List the tensors of a network, each after those that it is computed from."""
    found = {id(tensor): tensor for tensor in network.inputs}

    def visit(tensor: keras.KerasTensor) -> None:
        if id(tensor) in found:
            return
        layer, node, _ = _origin(tensor)
        for given in node.input_tensors:
            visit(given)
        for given in node.output_tensors if isinstance(layer, keras.Model) else [tensor]:
            found[id(given)] = given

    for tensor in network.outputs:
        visit(tensor)
    return list(found.values())


def _shapes(network: keras.Model, tensors: list[keras.KerasTensor], side: int) -> list[tuple[int, ...]]:
    """Compute the shape of each tensor for photographs of a side, without the batch."""
    inputs = [
        (1, *(side if n is None and i < 2 else n for i, n in enumerate(tensor.shape[1:])))
        for tensor in network.inputs
    ]
    whole = keras.Model(network.inputs, tensors)
    try:
        given = whole.compute_output_shape(inputs if len(inputs) > 1 else inputs[0])
    except ValueError as error:
        raise CourseError(f"{network.name} takes no photographs of {side} pixels") from error
    return [tuple(shape)[1:] for shape in given]


def _laid_out(blocks: list[Block], outputs: list[Block]) -> list[Block]:
    """Give blocks their places: the main path in the first row, each branch in a row of its own."""
    placed, rows = set(), []

    def path(block: Block) -> None:
        """Follow the first source of each back to what has a place."""
        chain = []
        while id(block) not in placed:
            placed.add(id(block))
            chain.insert(0, block)
            if not block.sources:
                break
            block = block.sources[0]
        if chain:
            rows.append(chain)

    for block in [*outputs, *reversed(blocks)]:
        path(block)
    for number, chain in enumerate(rows):
        for block in chain:
            block.row = number
        for left, right in pairwise(chain):
            right.before = left
    for block in blocks:
        pitch = _VECTOR_PITCH if len(block.shape) == 1 else _PITCH
        lefts = [source.x for source in block.sources]
        block.x = max(lefts) + pitch if lefts else 0.0
    for chain in rows[1:]:
        # A branch that begins with an input stands where it is needed.
        meets = [block.x for block in blocks if block.row == 0 and chain[-1] in block.sources]
        if meets and not chain[0].sources:
            move = min(meets) - _PITCH - chain[-1].x
            for block in chain:
                block.x += move
    return blocks
