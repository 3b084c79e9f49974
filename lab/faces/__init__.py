"""Drawn people: a procedural renderer of faces, so that the demo needs nobody's photograph.

An `Identity` fixes what makes a person recognisable; `render` draws that person in ever new pose, expression,
light, clothes and surroundings. Twenty people (`TARGET_NAMES`) make the shipped recognition task; strangers
without number make the attacker's auxiliary data. Pillow and numpy only; equal seeds give equal pictures.
"""

from siftfunnel.lab.faces.cast import TARGET_NAMES
from siftfunnel.lab.faces.identity import Identity, make_identity
from siftfunnel.lab.faces.rendering import render
from siftfunnel.lab.faces.sets import draw_auxiliary, draw_split

__all__ = ["TARGET_NAMES", "Identity", "draw_auxiliary", "draw_split", "make_identity", "render"]
