"""The catalogue: which photographs the course knows, under which license, and where they are.

Adding a source is adding an entry to `SOURCES`.
"""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

from helpers.errors import CourseError


@dataclass(frozen=True)
class Source:
    """One set of photographs.

    Attributes
    ----------
    name : str
        What the reader types.
    kind : {"embedded", "archive", "unsplash"}
        How it arrives: with the course; as one file with a checksum; or photograph by photograph,
        from the list that Unsplash publishes.
    title : str
        What it holds, in a few words.
    license : str
        What may be done with it, in one line.
    photographs : int
        How many there are.
    url : str
        Where it is; '' if it comes with the course.
    bytes : int
        The download's size; about, unless it is an archive.
    sha256 : str
        An archive's checksum; '' for the other kinds.
    page : str
        Where the publisher describes it.
    """

    name: str
    kind: Literal["embedded", "archive", "unsplash"]
    title: str
    license: str
    photographs: int
    url: str = ""
    bytes: int = 0
    sha256: str = ""
    page: str = ""

    @property
    def download(self) -> str:
        """The download's size, for people."""
        about = "about " if self.kind == "unsplash" else ""
        return f"{about}{self.bytes / 1e6:,.0f} MB" if self.bytes else "none"


_IMAGENET_TERMS = (
    "ImageNet's terms: research and teaching, not commercial; the photographers keep their rights"
)

SOURCES = {
    source.name: source
    for source in (
        Source(
            "sample",
            "embedded",
            "50 animals, monuments and scenes, and four photographs that scikit-image ships",
            "public domain, CC0, CC BY and CC BY-SA, each photograph with its credit",
            54,
            page="https://scikit-image.org/docs/stable/api/skimage.data.html",
        ),
        Source(
            "imagenette-160",
            "archive",
            "ten classes of ImageNet, 160 pixels on the short side",
            _IMAGENET_TERMS,
            13_394,
            "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-160.tgz",
            99_003_388,
            "64d0c4859f35a461889e0147755a999a48b49bf38a7e0f9bd27003f10db02fe5",
            "https://github.com/fastai/imagenette",
        ),
        Source(
            "imagenette-320",
            "archive",
            "ten classes of ImageNet, 320 pixels on the short side",
            _IMAGENET_TERMS,
            13_394,
            "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-320.tgz",
            341_663_724,
            "569b4497c98db6dd29f335d1f109cf315fe127053cedf69010d047f0188e158c",
            "https://github.com/fastai/imagenette",
        ),
        Source(
            "flowers",
            "archive",
            "five kinds of flowers",
            "CC BY 2.0, each photograph with its credit",
            3_670,
            "https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz",
            228_813_984,
            "4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c",
            "https://www.tensorflow.org/datasets/catalog/tf_flowers",
        ),
        Source(
            "coco-val",
            "archive",
            "everyday scenes of COCO, the validation photographs of 2017",
            "Flickr's terms of use; each photograph under its own Creative Commons license",
            5_000,
            "http://images.cocodataset.org/zips/val2017.zip",
            815_585_330,
            "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
            "https://cocodataset.org/#termsofuse",
        ),
        Source(
            "unsplash-lite",
            "unsplash",
            "9,294 of the 25,000 photographs of Unsplash Lite, cut to 256 pixels a side",
            "Unsplash Dataset terms: training is allowed, republishing any part is not",
            9_294,
            "https://unsplash-datasets.s3.amazonaws.com/lite/latest/unsplash-research-dataset-lite-latest.zip",
            850_000_000,  # a list of about 650 MB, and 9,294 photographs of about 20 kB
            page="https://github.com/unsplash/datasets/blob/master/TERMS.md",
        ),
    )
}

# What scikit-image's own documentation says of the photographs in its wheel.
SHIPPED_WITH_SKIMAGE = {
    "astronaut.png": "Eileen Collins, NASA, public domain, https://flic.kr/p/r9qvLn",
    "chelsea.png": "Chelsea the cat, Stefan van der Walt, CC0 1.0, scikit-image",
    "coffee.png": "coffee cup at Pikolo Espresso Bar, Rachel Michetti, CC0 1.0, scikit-image",
    "rocket.jpg": "launch of DSCOVR, SpaceX, public domain, https://www.flickr.com/photos/spacexphotos/16511594820",
}


def source_named(name: str) -> Source:
    """Look a source up in the catalogue.

    Parameters
    ----------
    name : str
        Its name.

    Returns
    -------
    Source
        Its entry.

    Raises
    ------
    CourseError
        If there is none of that name; the message lists those that there are.
    """
    if name not in SOURCES:
        raise CourseError(f"no source is called {name!r}: choose one of {', '.join(SOURCES)}")
    return SOURCES[name]


def note_namesake(name: str) -> None:
    """Say that a name of the catalogue means the catalogue, where something of that name lies here too.

    Parameters
    ----------
    name : str
        The source's name.
    """
    if Path(name).exists():
        print(f"{name}: the course's photographs of that name; what lies here is ./{name}")


def skimage_photographs() -> dict[str, Path]:
    """Find the four photographs that scikit-image's wheel holds.

    Returns
    -------
    dict of str to pathlib.Path
        The files by their names.
    """
    folder = Path(str(files("skimage"))) / "data"
    return {name: folder / name for name in SHIPPED_WITH_SKIMAGE}
