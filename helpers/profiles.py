"""The two profiles of the course, and what a lesson needs to begin.

Every size, width and length of a training that differs between the short run
and the long one stands in the one table below. A lesson reads the table
through `begin`, which its setup cell calls.
"""

import dataclasses
import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path

from helpers.errors import CourseError
from helpers.places import ROOT, RUNS, check_folder, typed

# What the name of a file has room for, less what stands around a photographs' folder's in that of a run's.
LONGEST = 200


@dataclass(frozen=True)
class Profile:
    """Sizes, widths and lengths of one kind of run.

    Attributes
    ----------
    photos : str
        Where the photographs come from, as `helpers.photographs.load` takes it.
    near_duplicates : bool
        Whether photographs that are nearly the same may be in several splits, or are set aside.
    size : int
        Side, in pixels, of the photographs that the networks see.
    test_size : int
        Side, in pixels, of the photographs that results are shown and measured on.
    test_photos : int
        How many of the test photographs are measured at most; the first ones with color, which never change.
    width : float
        Share of the story's filters in every layer.
    flips : tuple of str
        Which way photographs are mirrored at random in training, as `helpers.batches.Batches` takes it.
    contrast : tuple of str
        Which contrast operations are applied to L at random, as `Batches` takes it (lessons 3 and 4).
    batch_size : int
        Photographs in one training step.
    goes_on : bool
        Whether trainings are kept on disk as they go, and taken up again after a break.
    memorize_epochs : int
        Epochs, of twenty steps each, of the network that learns one photograph by heart (lesson 3).
    epochs : int
        Passes over the training photographs, for the networks of lessons 3 and 4.
    gan_epochs : int
        The same for the generator and discriminator (lesson 5).
    gan_filters : int
        Filters of the generator's and the discriminator's first layer (lesson 5).
    backbone : str
        The pretrained network whose embedding lesson 4 reads.
    more_photos : str
        Further photographs that the colorizer learns from (lesson 5), as `helpers.photographs.load` takes
        them; '' for none.
    colorizer_stages : tuple of (int, int, int)
        What the colorizer is trained on, one stage after the other: the side of the photographs in pixels,
        that of the squares cut out of them, and the number of the last epoch; 0 for `colorizer_epochs`.
    colorizer_rounds : tuple of (int, float)
        How often the colorizer's learning rate is raised, held and lowered: the last epoch of each round, 0
        for `colorizer_epochs`, and the rate that is held.
    colorizer_epochs : int
        Epochs of the colorizer, all stages and rounds together.
    colorizer_batch : int
        Squares in one training step of the colorizer.
    encoder_learns : bool
        Whether the colorizer's pretrained encoder is trained on, or stays as it is.
    hint_epochs : int
        Epochs in which the colorizer learns to take hints.
    """

    photos: str
    near_duplicates: bool
    size: int
    test_size: int
    test_photos: int
    width: float
    flips: tuple[str, ...]
    contrast: tuple[str, ...]
    batch_size: int
    goes_on: bool
    memorize_epochs: int
    epochs: int
    gan_epochs: int
    gan_filters: int
    backbone: str
    more_photos: str
    colorizer_stages: tuple[tuple[int, int, int], ...]
    colorizer_rounds: tuple[tuple[int, float], ...]
    colorizer_epochs: int
    colorizer_batch: int
    encoder_learns: bool
    hint_epochs: int


# Setting → its values in the profiles, in their order.
NAMES = ("tiny", "full")
TABLE = {
    "photos": ("sample", "imagenette-320"),
    "near_duplicates": (False, False),
    "size": (64, 96),
    "test_size": (224, 224),
    "test_photos": (1000, 1000),
    "width": (0.25, 0.375),
    "flips": (("left-right", "upside-down"), ("left-right",)),
    "contrast": (("adaptive", "stretch", "equalize"), ()),
    "batch_size": (8, 32),
    "goes_on": (False, True),
    "memorize_epochs": (30, 100),
    "epochs": (20, 6),
    "gan_epochs": (30, 6),
    "gan_filters": (16, 24),
    "backbone": ("efficientnet_lite0", "efficientnet_lite0"),
    "more_photos": ("", ""),
    "colorizer_stages": (((64, 64, 0),), ((160, 128, 10), (224, 192, 22), (160, 128, 36), (224, 192, 0))),
    "colorizer_rounds": (((0, 1e-3),), ((22, 1e-3), (0, 6e-4))),
    "colorizer_epochs": (20, 41),
    "colorizer_batch": (8, 16),
    "encoder_learns": (False, True),
    "hint_epochs": (20, 6),
}
# What lesson 4 can read an embedding of: the network that is installed, and those of `keras.applications`,
# written out here because Keras takes seconds to load.
BACKBONES = (
    "EfficientNetLite0",
    *("ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtSmall", "ConvNeXtTiny", "ConvNeXtXLarge"),
    *("DenseNet121", "DenseNet169", "DenseNet201"),
    *(f"EfficientNetB{number}" for number in range(8)),
    *("EfficientNetV2B0", "EfficientNetV2B1", "EfficientNetV2B2", "EfficientNetV2B3"),
    *("EfficientNetV2L", "EfficientNetV2M", "EfficientNetV2S"),
    *("InceptionResNetV2", "InceptionV3"),
    *("MobileNet", "MobileNetV2", "MobileNetV3Large", "MobileNetV3Small", "NASNetLarge", "NASNetMobile"),
    *("ResNet50", "ResNet50V2", "ResNet101", "ResNet101V2", "ResNet152", "ResNet152V2"),
    *("VGG16", "VGG19", "Xception"),
)
PROFILES = {
    name: Profile(**{setting: values[place] for setting, values in TABLE.items()})
    for place, name in enumerate(NAMES)
}


@dataclass(frozen=True)
class Lesson(Profile):
    """A profile, with the overrides of one lesson in place, and where and how it runs.

    Attributes
    ----------
    name : str
        The profile's name.
    seed : int
        The seed of everything random in the lesson.
    out : Path
        The folder that the run writes to.
    """

    name: str
    seed: int
    out: Path

    @property
    def models(self) -> Path:
        """The folder of the networks that this run has trained, made if missing."""
        folder = self.out / "models"
        check_folder(folder, "name another folder as OUT")
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def check(name: object, seed: object) -> None:
    """Refuse a profile that does not exist, and a seed that the generators would refuse.

    Parameters
    ----------
    name : object
        What was given as the profile's name.
    seed : object
        What was given as the seed.

    Raises
    ------
    CourseError
        If no profile has that name, or if the seed is not a whole number from 0 to 2**32 - 1.
    """
    # Compared one by one, since what was typed may be a list.
    if name not in list(PROFILES):
        raise CourseError(f"there is no profile {name!r}; the profiles are {', '.join(PROFILES)}")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise CourseError(f"SEED is {seed!r}; it must be a whole number from 0 to 2**32 - 1")


def check_out(out: object) -> None:
    """Refuse what is not the path of a folder to write to.

    Parameters
    ----------
    out : object
        What was given for OUT; `None` names the usual folder.

    Raises
    ------
    CourseError
        If it is not text.
    """
    if not isinstance(out, str | Path | None):
        raise CourseError(f"OUT is {out!r}; it must be the path of a folder")


def check_override(name: str, setting: str, value: object, called: str | None = None) -> object:
    """Refuse a value that cannot replace a profile's own.

    Parameters
    ----------
    name : str
        The profile's name, a key of `PROFILES`.
    setting : str
        Which of its settings to replace.
    value : object
        What was given for it; `None` leaves the profile's own.
    called : str, optional
        What whoever gave it calls the setting, if not by its name.

    Returns
    -------
    object
        The value; a whole number as a float where the setting is one, and names with commas between them
        as a tuple, ``none`` as an empty one.

    Raises
    ------
    CourseError
        If the profile has no such setting, or if the value is not of its kind or names no backbone.
    """
    known = sorted(field.name for field in dataclasses.fields(Profile))
    if setting not in known:
        raise CourseError(f"{setting}: not a setting; the settings are {', '.join(known)}")
    if value is None:
        return None
    expected = type(getattr(PROFILES[name], setting))
    if expected is float and type(value) is int:
        value = float(value)
    if expected is tuple and isinstance(value, str):
        value = tuple(filter(None, (word.strip() for word in value.split(",")))) if value != "none" else ()
    if type(value) is not expected or (expected in (int, float) and not 0 < value < math.inf):
        kind = {
            str: "text",
            int: "a whole number above 0",
            float: "a number above 0",
            bool: "True or False",
            tuple: 'names with commas between them, or "none"',
        }[expected]
        raise CourseError(f"{called or setting} is {value!r}; it must be {kind}")
    if setting == "backbone":
        backbone_named(value, called or setting)
    if setting in ("flips", "contrast"):
        from helpers.augment import CONTRASTS, FLIPS  # loads scikit-image

        there_are = FLIPS if setting == "flips" else CONTRASTS
        if strange := [each for each in value if each not in there_are]:
            there_are = ", ".join(there_are)
            raise CourseError(f"{called or setting} has {strange[0]!r}; there are {there_are}, or none")
    return value


def backbone_named(name: str, called: str = "the backbone") -> str:
    """Find a backbone by its name, in any case, with or without underscores.

    Parameters
    ----------
    name : str
        Such as ``inception_resnet_v2``.
    called : str
        What whoever gave it calls the setting.

    Returns
    -------
    str
        Its name as `BACKBONES` has it.

    Raises
    ------
    CourseError
        If there is none of that name; the message lists those that there are.
    """
    plain = name.lower().replace("_", "")
    for known in BACKBONES:
        if known.lower() == plain:
            return known
    raise CourseError(f"{called} is {name!r}; it must be one of {', '.join(BACKBONES)}")


def folder(name: str, photos: str | None = None) -> Path:
    """Name the folder that a run writes to, unless it is told another.

    Parameters
    ----------
    name : str
        The profile's name.
    photos : str, optional
        Where the photographs come from, if not from where the profile says.

    Returns
    -------
    Path
        `runs/<profile>`, or `runs/<profile>-<photographs>` for other
        photographs, so that no lesson finds networks that learned from others.
        Photographs that are not of the catalogue may share their name with
        others, so eight digits follow that stand for where they lie.

    Raises
    ------
    CourseError
        If the photographs are said to be in the home folder of a user that there is not.
    """
    if photos in (None, PROFILES[name].photos):
        return RUNS / name
    # These load NumPy and Pillow.
    from helpers.photographs.collection import several
    from helpers.photographs.sources import SOURCES

    typed(photos)  # refuses a home folder that there is not
    each = [source if source in SOURCES else typed(source).resolve() for source in several(photos)]
    called = "+".join(source if isinstance(source, str) else source.name for source in each)
    if all(isinstance(source, str) for source in each):
        return RUNS / f"{name}-{called}"
    while len(os.fsencode(called)) > LONGEST:
        called = called[:-1]
    where = hashlib.sha256(os.fsencode("+".join(map(str, each)))).hexdigest()[:8]
    return RUNS / f"{name}-{called}-{where}"


def begin(
    name: str,
    seed: int,
    out: str | None = None,
    *,
    devices: int | None = None,
    precision: str | None = None,
    **overrides: object,
) -> Lesson:
    """Begin a lesson: look up its settings, fix every seed, report in one line.

    What the reader's own files have set for Keras and for matplotlib is set aside.
    If the notebook is another course's than the code, a second line says so.

    Parameters
    ----------
    name : str
        The profile's name, a key of `PROFILES`.
    seed : int
        Seed of Python's, NumPy's and Keras' random numbers.
    out : str, optional
        Folder to write to; what `folder` names if not given.
    devices : int, optional
        How many devices of each machine share each batch, as `helpers.devices.use` takes it.
    precision : str, optional
        What layers compute in, as `helpers.precision.use` takes it.
    **overrides
        Settings of the profile to replace; `None` leaves the profile's own.

    Returns
    -------
    Lesson
        The settings that the lesson reads.

    Notes
    -----
    The lessons' claims were made for the tiny profile as it stands. With any
    other settings a claim that does not hold is shown, and stops nothing.

    Raises
    ------
    CourseError
        If no profile has that name, if the seed is not a whole number
        from 0 to 2**32 - 1, if the folder is not the path of one, if an override is not a setting of
        the profile, or not of its kind, or if there are no such devices or no such precision, or the
        machines that train together were given different settings.
    """
    # Keras takes seconds to load, and the command line reads the table alone.
    from helpers import backend, display, machines
    from helpers import devices as several
    from helpers import precision as digits
    from helpers.photographs import keep_near_duplicates

    check(name, seed)
    check_out(out)
    checked = {key: check_override(name, key, value) for key, value in overrides.items()}
    given = {key: value for key, value in checked.items() if value is not None}
    settings = dataclasses.asdict(PROFILES[name]) | given
    where = typed(out) if out else folder(name, given.get("photos"))
    digits.check(precision)
    # Lesson 5 is the one with a GAN, whose networks compute their losses by themselves.
    gan = "gan_epochs" in overrides
    batches = ("batch_size", "colorizer_batch") if gan else ("batch_size",)
    several.use(devices, {key: settings[key] for key in batches}, own_loss=gan)
    # Photographs may lie elsewhere on another machine; a training sees whether they are the same.
    alike = {key: value for key, value in settings.items() if key not in ("photos", "more_photos")}
    machines.agree(alike | {"profile": name, "seed": seed, "DEVICES": devices, "PRECISION": precision})
    display.relax_claims(
        "the course's own settings" if name != "tiny" or given or devices or precision else None
    )
    display.set_style()
    backend.set_defaults()
    backend.set_seed(seed)
    keep_near_duplicates(settings["near_duplicates"])
    keras = backend.keras
    print(f"{name} profile · seed {seed} · Keras {keras.__version__} on {keras.backend.backend()}")
    digits.use(precision)
    if here := machines.place():
        alone = "; it trains alone, since no DEVICES are given" if devices is None else ""
        print(f"machine {here.number}, counted from 0, of {here.count}{alone}")
    if (other := Path.cwd().parent) and _has_helpers(other) and not other.samefile(ROOT):
        print(
            f"the code and the data are those of {ROOT}, not the ones beside this notebook: "
            f"for these, run `python -m pip install -e .` in {other} and restart the kernel"
        )
    return Lesson(**settings, name=name, seed=seed, out=where)


def _has_helpers(folder: Path) -> bool:
    return (folder / "helpers" / Path(__file__).name).is_file()
