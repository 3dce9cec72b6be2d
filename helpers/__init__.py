"""The course's plumbing, in small rooms with one purpose each.

A photograph's way through them, from above to below; a room imports only from
rooms above it:

- ``errors``, ``places``: the course's one error; its folders.
- ``files``, ``threads``: whole files, and a cache; work on many photographs at once.
- ``installed``, ``machines``, ``backend``, ``devices``, ``precision``, ``lab``: what has to be installed;
  several machines that train together; Keras, loaded quietly; on how many devices it trains, and with how
  many digits; colors.
- ``photographs``: from any source to one array with a fixed split. In it:
  ``archives``, ``recognize``, ``decode``, ``sources``, ``transfer``, ``unsplash``, ``download``, ``splits``,
  ``tables``, ``hygiene``, ``prepare``, ``collection``.
- ``augment``, ``hints``, ``batches``: what the networks are trained on, and colors that somebody gives them.
- ``losses``, ``colorings``, ``metrics``: structural similarity to train with; pictures from colors, and
  answers that need no network; scores to judge by.
- ``display``, ``drawings``, ``profiles``, ``pairs``: what a lesson shows; networks as blocks; the
  settings that it begins with; the photographs as networks see them and as they are shown.
- ``ab_bins``, ``networks``: colors as classes; trained networks.
- ``efficientnet``, ``embeddings``: pretrained networks, and what they see.
- ``provenance``, ``training``: how a network came about; what stands around its training.
- ``records``, ``recorded``: a network's record; those that come with the course.
- ``colorize``, ``album``, ``preview``, ``own_picture``, ``app``: a picture of one's own in color; files and
  folders of them; one that is looked at; the notebook's controls for it, and the page for visitors.
- ``votes``, ``gallery``: what viewers took for true; the page that shows a run's pictures, and asks them.
- ``exercises``: answers that are checked, and handed in. In it: ``answers``, ``lesson_1``, ``lesson_2``,
  ``lesson_3``, ``lesson_4``, ``lesson_5``, ``lesson_6``, ``grading``, ``worker``, ``submissions``.
- ``doctor``: whether a machine is ready for all this.
- ``timetable``: how long the lessons take, for a teacher's plans.
- ``runner``: the lessons, run one after the other, or one over a grid of parameters. In it: ``plan``,
  ``progress``, ``environment``, ``execute``, ``pages``, ``run``, ``grid``, ``comparison``, ``sweep``.
- ``__main__``: the command line.
"""
