"""Several machines that train one network together, on JAX; Keras' own variables tell them of each other.

Each runs the same lesson from its beginning to its end, draws the same batches, computes its share of them,
and keeps what it has made in a folder of its own. What a training has kept on machine 0 counts for all.
"""

import hashlib
import io
import json
import os
import shutil
import socket
import tempfile
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from helpers import files
from helpers.errors import CourseError

# https://keras.io/api/distribution/distribution_utils/#initialize-function
ADDRESS, COUNT, NUMBER = (
    f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")
)
# Seconds that a machine waits for the others to begin a lesson, and to end one; and of silence, after which
# one counts as gone. Keras has no words for these.
BEGIN, END, SILENCE = 300, 120, 10


@dataclass(frozen=True)
class Place:
    """Which of the machines this is.

    Attributes
    ----------
    address : str
        Where machine 0 listens, as ``10.0.0.1:1234``.
    count : int
        How many machines there are.
    number : int
        This one's, from 0.
    """

    address: str
    count: int
    number: int


_joined: Place | None = None


def place() -> Place | None:
    """Read from the environment which of the machines this is.

    Returns
    -------
    Place or None
        None if there is no other one.

    Raises
    ------
    CourseError
        If a variable is missing or makes no sense with the others.
    """
    given = {name: os.environ.get(name) for name in (ADDRESS, COUNT, NUMBER)}
    if not any(given.values()):
        return None
    if missing := [name for name, value in given.items() if not value]:
        raise CourseError(f"{' and '.join(missing)}: not set; several machines need {', '.join(given)}")
    for name in (COUNT, NUMBER):
        if not (given[name].isascii() and given[name].isdigit()):
            raise CourseError(f"{name} is {given[name]!r}; it must be a whole number")
    count, number = int(given[COUNT]), int(given[NUMBER])
    if number >= count:
        raise CourseError(f"{NUMBER} is {number}; with {COUNT} {count} the machines are 0 to {count - 1}")
    addresses = given[ADDRESS].split(",")
    if len(addresses) not in (1, count):
        raise CourseError(f"{ADDRESS} has {len(addresses)} for {count} machines; machine 0's is enough")
    host, _, port = addresses[0].strip().rpartition(":")
    if not (host and port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise CourseError(f"{ADDRESS} is {addresses[0]!r}; it must be machine 0's, as 10.0.0.1:1234")
    return Place(f"{host}:{port}", count, number) if count > 1 else None


def own(folder: Path) -> Path:
    """Name the folder that this machine writes to: several may see the same disk.

    Parameters
    ----------
    folder : Path
        The folder of a run on one machine.

    Returns
    -------
    Path
        The same for machine 0, and one inside of it for any other.
    """
    here = place()
    return folder / f"machine-{here.number}" if here and here.number else folder


def join(backend: str) -> Place | None:
    """Meet the other machines, if the environment tells of any; once in a process.

    If one does not come, or goes away later, JAX ends the process of each other one.

    Parameters
    ----------
    backend : str
        Keras' backend.

    Returns
    -------
    Place or None
        Which of the machines this is; None if it is alone.

    Raises
    ------
    CourseError
        If the backend cannot do it, machine 0 cannot be reached, its port is taken, or JAX has computed
        something before.
    """
    global _joined
    here = place()
    if here is None or _joined is not None:
        return _joined
    if backend != "jax":
        raise CourseError(
            f"several machines train together on JAX, not on {backend}: set KERAS_BACKEND=jax, or unset "
            f"{ADDRESS}, {COUNT} and {NUMBER}"
        )
    import jax

    _reach(here.address) if here.number else _see_port_free(here.address)
    waits = {"initialization_timeout": BEGIN, "shutdown_timeout_seconds": END}
    waits |= {"heartbeat_timeout_seconds": SILENCE, "cluster_detection_method": "deactivate"}
    try:
        jax.distributed.initialize(here.address, here.count, here.number, **waits)
    except RuntimeError as error:
        reason = str(error).partition(". ")[0]
        raise CourseError(
            f"machine {here.number} cannot join the others at {here.address} ({reason}): restart the kernel"
        ) from error
    _joined = here
    return here


def joined() -> Place | None:
    """Tell which of the machines that train together this is.

    Returns
    -------
    Place or None
        None if it trains alone.
    """
    return _joined


def agree(on: Mapping[str, object]) -> None:
    """Refuse to go on if the machines mean different things; all of them refuse. Alone, do nothing.

    Parameters
    ----------
    on : mapping of str to object
        The same names on every machine → what JSON can hold.

    Raises
    ------
    CourseError
        If values differ; the message has their names.
    """
    if _joined is None:
        return
    import numpy as np
    from jax.experimental import multihost_utils

    digests = [hashlib.sha256(json.dumps(on[name]).encode()).digest()[:4] for name in sorted(on)]
    all_of_them = multihost_utils.process_allgather(np.frombuffer(b"".join(digests), np.uint32))
    differing = [name for name, column in zip(sorted(on), all_of_them.T, strict=True) if len({*column}) > 1]
    if differing:
        raise CourseError(
            f"the {_joined.count} machines differ in {', '.join(differing)}: give each the same command and "
            "the same photographs"
        )


def share(folder: Path) -> None:
    """Put what machine 0 has in a folder in place of what this one has in it. Alone, do nothing.

    Parameters
    ----------
    folder : Path
        Where it is; it need not be there.
    """
    if _joined is None:
        return
    import numpy as np
    from jax.experimental.multihost_utils import broadcast_one_to_all

    mine = _packed(folder)
    length = int(broadcast_one_to_all(np.uint32(len(mine))))
    sent = np.frombuffer(mine, np.uint8) if _joined.number == 0 else np.zeros(length, np.uint8)
    theirs = np.asarray(broadcast_one_to_all(sent)).astype(np.uint8).tobytes()
    if theirs == mine:
        return
    with tempfile.TemporaryDirectory() as aside:
        archive = Path(aside) / "sent.zip"
        archive.write_bytes(theirs)
        shutil.rmtree(folder, ignore_errors=True)
        with files.making_room(folder), files.replacing(folder) as part:
            shutil.unpack_archive(archive, part)


def _packed(folder: Path) -> bytes:
    """Pack the files of a folder: the same ones into the same bytes."""
    with zipfile.ZipFile(packed := io.BytesIO(), "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                archive.writestr(zipfile.ZipInfo(path.relative_to(folder).as_posix()), path.read_bytes())
    return packed.getvalue()


def _see_port_free(address: str) -> None:
    port = int(address.rpartition(":")[2])
    try:
        socket.create_server(("", port)).close()
    except OSError as error:
        raise CourseError(
            f"machine 0 cannot listen on port {port} ({error.strerror}): choose another in {ADDRESS}"
        ) from error


def _reach(address: str) -> None:
    """Wait until machine 0 listens; JAX would end this process without a word that a reader understands."""
    host, _, port = address.rpartition(":")
    until = time.monotonic() + BEGIN
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > until or isinstance(error, socket.gaierror):
                raise CourseError(
                    f"machine 0 cannot be reached at {address} ({error.strerror or error}): give it the same "
                    f"command, and see that {ADDRESS} is right and no firewall is between"
                ) from error
        time.sleep(0.2)
