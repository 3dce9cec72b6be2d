"""The course's plumbing, in small rooms with one purpose each.

A photograph's way through them, from above to below; a room imports only from
rooms above it:

- ``errors``, ``places``, ``files``: the course's one error; its folders; whole files, and a cache.
- ``backend``, ``lab``: Keras, loaded quietly; colors.
- ``photographs``: from any source to one array with a fixed split. In it:
  ``archives``, ``decode``, ``sources``, ``transfer``, ``unsplash``, ``download``, ``hygiene``, ``prepare``,
  ``collection``.
- ``augment``, ``batches``: what the networks are trained on.
- ``losses``, ``metrics``: structural similarity to train with, and scores to judge by.
- ``display``, ``profiles``: what a lesson shows, and the settings that it begins with.
- ``networks``, ``embeddings``: trained networks, and pretrained ones.
- ``records``, ``training``: what is known of a training, and what surrounds one.
- ``runner``: the lessons, run one after the other. In it: ``execute``, ``run``.
- ``__main__``: the command line.
"""
