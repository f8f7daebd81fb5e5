"""What runs on a device that is measured: here as well as on a board that it is sent to.

Keeps to Python 3.7, numpy and a LiteRT runtime; knows nothing of the rest of the project.

bench    times models, and takes requests       litert   the runtime that is there
compute  gives a model's outputs                board    what the machine tells of itself
turn     one measurement at a time              remote   starts bench on a board, leaves nothing behind
"""
