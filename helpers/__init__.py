"""The course's plumbing, in small rooms with one purpose each.

A photograph's way through them, from above to below; a room imports only from
rooms above it:

- ``errors``, ``places``, ``backend``: the course's one error; its folders; Keras, loaded quietly.
- ``lab``, ``decode``, ``archives``: colors, picture files, and folders of them.
- ``sources``, ``transfer``, ``unsplash``, ``download``: what can be had, and getting it.
- ``hygiene``, ``prepare``, ``photographs``: what to leave out, the split, the stored array.
- ``augment``, ``batches``: what the networks are trained on.
- ``losses``, ``metrics``: structural similarity to train with, and scores to judge by.
- ``display``, ``profiles``: what a lesson shows, and the settings that it begins with.
- ``networks``, ``embeddings``: trained networks, and pretrained ones.
- ``records``, ``training``: what is known of a training, and what surrounds one.
- ``execute``, ``run``, ``__main__``: the lessons, run from the command line.
"""
