"""Change the code in small ways, one at a time, and see whether a test notices.

    python tests/mutations.py [NAME ...]

Without a name it tries them all; else those whose name contains one of the words. Each is tried in a
copy of the checkout, so nothing here changes. Ends with 1 if a change survives, if its old text does
not stand exactly once, or if its tests fail without it.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

import nbformat

ROOT = Path(__file__).resolve().parent.parent


class Mutation(NamedTuple):
    """A change that a test must notice: in `file`, `old` becomes `new`, and one of `tests` must fail.

    `old` stands exactly once in the file, or, for a notebook, in the sources of its cells.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTATIONS = (
    # Photographs
    Mutation(
        "near-duplicates: more bits may differ",
        "helpers/photographs/hygiene.py",
        "NEAR_BITS = 10",
        "NEAR_BITS = 14",
        ("tests/test_hygiene.py",),
    ),
    Mutation(
        "near-duplicates: less alike",
        "helpers/photographs/hygiene.py",
        "NEAR_CORRELATION = 0.85",
        "NEAR_CORRELATION = 0.75",
        ("tests/test_hygiene.py",),
    ),
    Mutation(
        "a grey copy sets a photograph aside",
        "helpers/photographs/hygiene.py",
        "np.flatnonzero(np.isin(splits, later) & colored)",
        "np.flatnonzero(np.isin(splits, later))",
        ("tests/test_hygiene.py",),
    ),
    Mutation(
        "validation and test are filled with one photograph",
        "helpers/photographs/splits.py",
        "LEAST = 2\n",
        "LEAST = 1\n",
        ("tests/test_splits.py",),
    ),
    Mutation(
        "a table's names are compared with their case",
        "helpers/photographs/tables.py",
        'unicodedata.normalize("NFC", name).casefold()',
        'unicodedata.normalize("NFC", name)',
        ("tests/test_tables.py",),
    ),
    Mutation(
        "a file that no row names is not noticed",
        "helpers/photographs/tables.py",
        "    if missing and unnamed:",
        "    if missing and not unnamed:",
        ("tests/test_tables.py",),
    ),
    Mutation(
        "a color is clipped, not made less colorful",
        "helpers/lab.py",
        "    if outside.any():",
        "    if False:",
        ("tests/test_colorize.py",),
    ),
    Mutation(
        "a JPEG is decoded too small",
        "helpers/photographs/decode.py",
        "image.draft(None, (max(LEAST_SCALE, 2 * size),) * 2)",
        "image.draft(None, (size,) * 2)",
        ("tests/test_decode.py",),
    ),
    Mutation(
        "a JPEG is always decoded whole",
        "helpers/photographs/decode.py",
        "image.draft(None, (max(LEAST_SCALE, 2 * size),) * 2)",
        "pass",
        ("tests/test_decode.py",),
    ),
    Mutation(
        "photographs are reduced bilinearly",
        "helpers/photographs/decode.py",
        "_FILTER = Image.Resampling.LANCZOS",
        "_FILTER = Image.Resampling.BILINEAR",
        ("tests/test_decode.py",),
    ),
    Mutation(
        "a profile for another kind of color counts",
        "helpers/photographs/decode.py",
        "if mode != kind:",
        "if mode is None:",
        ("tests/test_decode.py",),
    ),
    Mutation(
        "memory is lent that is not there",
        "helpers/photographs/decode.py",
        "lambda: count <= self.left",
        "lambda: True",
        ("tests/test_decode.py",),
    ),
    Mutation(
        "a raw file's thumbnail is the photograph",
        "helpers/photographs/recognize.py",
        "colors & _RAW_COLORS",
        "colors & set()",
        ("tests/test_recognize.py",),
    ),
    Mutation(
        "an archive is told by its end",
        "helpers/photographs/archives.py",
        "if tarfile.is_tarfile(path):",
        "if not zipfile.is_zipfile(path) and tarfile.is_tarfile(path):",
        ("tests/test_archives.py",),
    ),
    Mutation(
        "a certificate that is not trusted is tried again",
        "helpers/photographs/transfer.py",
        '"CERTIFICATE_VERIFY_FAILED" in str(error)',
        "False",
        ("tests/test_download.py",),
    ),
    Mutation(
        "a credit holds a formula",
        "helpers/display.py",
        r"<span>\g<0></span>",
        r"\g<0>",
        ("tests/test_display.py",),
    ),
    # Backbones
    Mutation(
        "the backbone's input takes the nearest pixel",
        "helpers/embeddings.py",
        'interpolation="bilinear", antialias=True',
        'interpolation="nearest"',
        ("tests/test_embeddings.py",),
    ),
    Mutation(
        "the backbone's input is not antialiased",
        "helpers/embeddings.py",
        'interpolation="bilinear", antialias=True',
        'interpolation="bilinear"',
        ("tests/test_embeddings.py",),
    ),
    # Training, records, metrics and display
    Mutation(
        "a training that goes on forgets its random order",
        "helpers/training.py",
        "self._batches.begin(epoch)",
        "self._batches.begin(0)",
        ("tests/test_training.py",),
    ),
    Mutation(
        "a training of another kind is gone on with",
        "helpers/training.py",
        "kept.get(stage, now)",
        "now",
        ("tests/test_training.py",),
    ),
    Mutation(
        "asking for the loss leaves its traces",
        "helpers/provenance.py",
        "        variable.assign(value)\n",
        "        pass\n",
        ("tests/test_training.py",),
    ),
    Mutation(
        "a recorded network sees the run's size",
        "helpers/recorded.py",
        'lesson.test_photos, record["resolution"])',
        "lesson.test_photos)",
        ("tests/test_recorded.py",),
    ),
    Mutation(
        "a recorded network reads the lesson's backbone",
        "helpers/recorded.py",
        'network, test, record["settings"]["backbone"])',
        "network, test, lesson.backbone)",
        ("tests/test_recorded.py",),
    ),
    Mutation(
        "a long run is taken up on other photographs",
        "helpers/provenance.py",
        '"photographs": batches.checksum',
        '"photographs": None',
        ("tests/test_training.py",),
    ),
    Mutation(
        "a fact overwrites what was found out",
        "helpers/records.py",
        "if taken := sorted(found.keys() & facts.keys()):",
        "if taken := []:",
        ("tests/test_records.py",),
    ),
    Mutation(
        "credits are compared",
        "helpers/display.py",
        '_display("Whose photographs these are: see the page.", folded)',
        "_display(folded, folded)",
        ("tests/test_display.py",),
    ),
    # Pages
    Mutation(
        "what papermill puts in stays on the page",
        "helpers/runner/pages.py",
        "    _fold_parameters(notebook)\n",
        "",
        ("tests/test_pages.py",),
    ),
    Mutation(
        "a page: small letters are too pale",
        "helpers/runner/templates/page.css",
        "--aside: #555a61;",
        "--aside: #a5abb3;",
        ("tests/test_pages.py::test_axe_finds_nothing_serious_on_a_lessons_page",),
    ),
    Mutation(
        "a page: a wide picture shrinks",
        "helpers/runner/templates/page.html.j2",
        "{%- if wide %} style=",
        "{%- if False %} style=",
        ("tests/test_pages.py::test_what_is_wide_scrolls_by_itself_and_by_keys",),
    ),
    Mutation(
        "a page: no key reaches a wide picture",
        "helpers/runner/templates/page.html.j2",
        'aria-label="Picture" tabindex="0"',
        'aria-label="Picture"',
        ("tests/test_pages.py::test_what_is_wide_scrolls_by_itself_and_by_keys",),
    ),
    Mutation(
        "a page leads nowhere",
        "helpers/runner/pages.py",
        "            **_neighbors(path),\n",
        "",
        ("tests/test_pages.py",),
    ),
    Mutation(
        "a link to a notebook stays one on the page",
        "helpers/runner/pages.py",
        "_LINK.sub(lambda link: _to_page(link, path.parent), cell.source)",
        "cell.source",
        ("tests/test_pages.py",),
    ),
    Mutation(
        "a page shows a picture at all its pixels",
        "helpers/display.py",
        "round(picture.width / DENSITY)",
        "picture.width",
        ("tests/test_display.py",),
    ),
    Mutation(
        "numbers and words of a column stand on two sides",
        "helpers/display.py",
        "_cell(text, sides[column]) for",
        "_cell(text, _side([text])) for",
        ("tests/test_display.py",),
    ),
    Mutation(
        "a picture keeps no alternative text",
        "helpers/display.py",
        '{"alt": plain, **size}',
        "size",
        ("tests/test_display.py",),
    ),
    Mutation(
        "what skips blocks is drawn along their row",
        "helpers/drawings.py",
        "return source.row == block.row and block.before is not source",
        "return False",
        ("tests/test_drawings.py",),
    ),
    Mutation(
        "a receptive field forgets where a stride of 2 begins",
        "notebooks/03_baseline_cnn.ipynb",
        "padded = (kernel_size - stride) // 2",
        "padded = 1",
        ("tests/test_lesson_code.py",),
    ),
    # The colorizer, and what it is made of
    Mutation(
        "arrays of weights lie as if none had been transposed",
        "helpers/efficientnet.py",
        "np.lib.stride_tricks.as_strided(storage[offset:], shape, in_bytes)",
        "storage[offset : offset + np.prod(shape, dtype=int)].reshape(shape)",
        ("tests/test_efficientnet.py",),
    ),
    Mutation(
        "a file of weights may name anything",
        "helpers/efficientnet.py",
        'raise pickle.UnpicklingError(f"{module}.{name} has no place in a file of weights")',
        "return super().find_class(module, name)",
        ("tests/test_efficientnet.py",),
    ),
    Mutation(
        "the annealed mean is the plain one",
        "helpers/ab_bins.py",
        "ops.softmax(logits / temperature)",
        "ops.softmax(logits)",
        ("tests/test_ab_bins.py",),
    ),
    Mutation(
        "every square is cut at the corner",
        "helpers/batches.py",
        "top, left = self._corner[i]",
        "top, left = 0, 0",
        ("tests/test_batches.py",),
    ),
    Mutation(
        "the test photographs of a further source are learned from",
        "helpers/photographs/prepare.py",
        'if split.of[row] == "test"}',
        "if False}",
        ("tests/test_photographs.py",),
    ),
    Mutation(
        "a training that goes on draws its first epoch again",
        "helpers/training.py",
        "self._batches.begin(epoch)",
        "self._batches.begin(0)",
        ("tests/test_training.py",),
    ),
    Mutation(
        "the learning rate never falls",
        "helpers/training.py",
        "ops.minimum(rising, falling)",
        "rising",
        ("tests/test_training.py",),
    ),
    Mutation(
        "a rare color counts like any other",
        "notebooks/05_dcgan.ipynb",
        "ops.mean(ops.sum(labels * rarity, -1) * of_each_pixel)",
        "ops.mean(of_each_pixel)",
        ("tests/test_lesson_code.py",),
    ),
    Mutation(
        "vividness is ignored",
        "helpers/networks.py",
        "return (1 - vividness) * ends[0] + vividness * ends[-1] if len(ends) > 1 else ends[0]",
        "return ends[0]",
        ("tests/test_networks.py",),
    ),
    Mutation(
        "what is seen in the mirror is not turned back",
        "helpers/networks.py",
        "(end + other[:, :, ::-1]) / 2",
        "(end + other) / 2",
        ("tests/test_networks.py::test_a_network_with_two_answers_sees_the_mirror_image_too",),
    ),
    Mutation(
        "the mirror image has its hints in the wrong place",
        "helpers/networks.py",
        "[part[:, :, ::-1] for part in batch]",
        "[batch[0][:, :, ::-1], *batch[1:]]",
        ("tests/test_networks.py::test_the_mirror_image_has_mirrored_hints",),
    ),
    # Hints
    Mutation(
        "a hint lies beyond its range",
        "helpers/hints.py",
        "isinstance(value, Real) and least <= value <= most",
        "isinstance(value, Real) and least <= value",
        ("tests/test_hints.py::test_a_hint_that_is_none_is_one_line",),
    ),
    Mutation(
        "a hint's pixels begin at its corner",
        "helpers/hints.py",
        "(number + 0.5) / length",
        "number / length",
        ("tests/test_hints.py::test_what_is_typed_is_read",),
    ),
    Mutation(
        "a transparent color is taken for an opaque one",
        "helpers/hints.py",
        "red, green, blue = ImageColor",
        "red, green, blue, *_ = ImageColor",
        ("tests/test_hints.py::test_what_is_no_color_is_one_line",),
    ),
    Mutation(
        "rows and columns of a hint change places",
        "helpers/hints.py",
        "return min(int(y * rows), rows - 1), min(int(x * columns), columns - 1)",
        "return min(int(x * rows), rows - 1), min(int(y * columns), columns - 1)",
        ("tests/test_hints.py::test_a_place_is_one_of_the_upright_picture",),
    ),
    Mutation(
        "hints for no network that takes them are dropped",
        "helpers/colorize.py",
        "    if any(hints):\n        raise",
        "    if False:\n        raise",
        ("tests/test_hints.py::test_what_cannot_take_hints_says_so",),
    ),
    Mutation(
        "every picture gets the hints of the first",
        "helpers/colorize.py",
        "[hints[row] for row in rows]",
        "[hints[0] for row in rows]",
        ("tests/test_hints.py::test_each_picture_has_hints_of_its_own",),
    ),
    Mutation(
        "likely colors are neighbors",
        "helpers/colorize.py",
        ".max(axis=-1) > WIDTH).all()",
        ".max(axis=-1) >= WIDTH).all()",
        ("tests/test_hints.py::test_the_likeliest_colors_come_first_differ_and_can_be_shown",),
    ),
    Mutation(
        "a likely color is one that no screen shows",
        "helpers/colorize.py",
        "if shown[each] and apart",
        "if apart",
        ("tests/test_hints.py::test_black_and_white_leave_no_color_to_choose",),
    ),
    Mutation(
        "what is likely is not told the hints",
        "helpers/colorize.py",
        "_inputs(colorizer, [L], [hints])",
        "_inputs(colorizer, [L], [()])",
        ("tests/test_hints.py::test_what_is_likely_depends_on_the_hints_that_were_given",),
    ),
    Mutation(
        "a network with hints forgets its colorizer's vividness",
        "helpers/colorize.py",
        'if "vivid" not in record and beside and beside.is_file():',
        "if False:",
        ("tests/test_hints.py::test_that_of_a_run_takes_hints_by_itself_and_has_its_colorizers_vividness",),
    ),
    Mutation(
        "a folder takes hints",
        "helpers/__main__.py",
        "(len(inputs) > 1 or places.typed(inputs[0]).is_dir())",
        "len(inputs) > 1",
        ("tests/test_hints.py::test_hints_that_cannot_be_heeded_are_refused_in_one_line",),
    ),
    Mutation(
        "hints are of other places than revealed",
        "helpers/hints.py",
        "places = ab[i].reshape(rows, STRIDE, columns, STRIDE, 2)[y, :, x]",
        "places = ab[i].reshape(rows, STRIDE, columns, STRIDE, 2)[-y, :, x]",
        ("tests/test_hints.py::test_what_is_revealed_are_the_mean_colors_of_as_many_places_as_asked_for",),
    ),
    Mutation(
        "hints are the same in every epoch",
        "helpers/batches.py",
        "np.random.default_rng([self.seed, self.epoch, index])",
        "np.random.default_rng([self.seed, index])",
        ("tests/test_batches.py::test_hints_are_a_function_of_seed_epoch_and_index",),
    ),
    Mutation(
        "a run keeps the hints of another colorizer",
        "helpers/recorded.py",
        "for at in (models, MODELS))",
        "for at in (models,))",
        (
            "tests/test_recorded.py::test_a_run_without_a_network_that_takes_hints_is_kept_until_the_course_has_one",
        ),
    ),
    # A picture of one's own: the command, the page, and the notebook
    Mutation(
        "sixteen bits: the upper eight twice",
        "helpers/colorize.py",
        "pixels |= eight(data, swapped=True)",
        "pixels |= eight(data, swapped=False)",
        ("tests/test_colorize.py",),
    ),
    Mutation(
        "sixteen bits: whatever the color space",
        "helpers/colorize.py",
        'if image.mode == "RGB" and _is_srgb(image):',
        'if image.mode == "RGB":',
        ("tests/test_colorize.py",),
    ),
    Mutation(
        "the page: any name is answered",
        "helpers/app.py",
        'create([*AT_HOME, shown] if at_home else ["*"])',
        'create(["*"])',
        ("tests/test_app.py::test_other_machines_are_let_in_only_if_asked_for_and_it_is_said",),
    ),
    Mutation(
        "the page: a file of any size is taken",
        "helpers/app.py",
        "if len(content) > most:",
        "if len(content) > 2 * most:",
        ("tests/test_app.py::test_what_cannot_be_colored_is_a_line",),
    ),
    Mutation(
        "the page: the preview keeps its color",
        "helpers/app.py",
        "content = colorize.encode(shown, preview.grey(shown))",
        "content = colorize.encode(shown, shown.pixels)",
        ("tests/test_app.py::test_the_preview_is_grey_small_and_says_what_there_is_to_say",),
    ),
    Mutation(
        "the page: a taken port is another's",
        "helpers/app.py",
        "            if port is not None:\n                raise\n",
        "",
        ("tests/test_app.py::test_a_port_that_is_taken_is_refused_in_one_line",),
    ),
    Mutation(
        "the page: nothing is allowed, nor forbidden",
        "helpers/app.py",
        '"content-security-policy": "default-src \'none\'; ',
        '"content-security-policy": "',
        ("tests/test_app.py::test_every_answer_forbids_what_comes_from_elsewhere",),
    ),
    Mutation(
        "the page: what is missing is not named",
        "helpers/__main__.py",
        'installed.check_extra("app", "starlette", "uvicorn")',
        'installed.check_extra("app", "starlette")',
        ("tests/test_app.py::test_without_its_extra_it_says_how_to_install_it",),
    ),
    Mutation(
        "the page: the wipe stands still",
        "helpers/page/picture.js",
        'wipe.style.setProperty("--at"',
        'wipe.style.setProperty("--to"',
        ("tests/test_app.py::test_a_visitor_drops_a_photograph_and_gets_it_in_color",),
    ),
    Mutation(
        "the page: what is dropped is not taken",
        "helpers/page/picture.js",
        "if (first) takeFile(first);",
        'if (first) say("");',
        ("tests/test_app.py::test_a_visitor_drops_a_photograph_and_gets_it_in_color",),
    ),
    Mutation(
        "the page: hints are not heeded",
        "helpers/app.py",
        "colorize.colorize([original], colorizer, [hints])",
        "colorize.colorize([original], colorizer)",
        ("tests/test_app.py::test_hints_are_heeded",),
    ),
    Mutation(
        "the page: any number of hints is taken",
        "helpers/preview.py",
        "if len(parts) > MOST_HINTS:",
        "if len(parts) > 2 * MOST_HINTS:",
        ("tests/test_app.py::test_a_wrong_hint_is_a_line",),
    ),
    Mutation(
        "the page: a hint is read whatever it looks like",
        "helpers/preview.py",
        "if not all(map(_HINT.fullmatch, parts)):",
        "if not all(parts):",
        ("tests/test_app.py::test_a_wrong_hint_is_a_line",),
    ),
    Mutation(
        "the page: hints are offered for a network that is not there",
        "helpers/app.py",
        "name in HINTED and recorded.has(HINTED[name])",
        "name in HINTED",
        ("tests/test_app.py::test_hints_are_offered_for_the_network_that_takes_them_if_it_is_there",),
    ),
    Mutation(
        "the page: a likely color has another place's lightness",
        "helpers/preview.py",
        "original.pixels[row : row + 1, column : column + 1]",
        "original.pixels[:1, :1]",
        ("tests/test_app.py::test_the_likely_colors_of_a_place_are_shown_at_its_lightness",),
    ),
    Mutation(
        "the page: a click lands elsewhere",
        "helpers/page/hints.js",
        "share((event.clientX - left) / width)",
        "share(event.clientX / width)",
        ("tests/test_app.py::test_a_click_and_a_color_and_the_picture_follows",),
    ),
    Mutation(
        "the page: a second hint for a place leaves the first one there",
        "helpers/page/hints.js",
        "const rest = without(among(hints));",
        "const rest = hints;",
        ("tests/test_app.py::test_a_click_and_a_color_and_the_picture_follows",),
    ),
    Mutation(
        "the page: hints stay for the next picture",
        "helpers/page/picture.js",
        "      talk.forget();\n",
        "",
        ("tests/test_app.py::test_hints_go_one_by_one_or_all_at_once_and_come_back",),
    ),
    Mutation(
        "the page: the keyboard is lost with what it was on",
        "helpers/page/hints.js",
        "if (mine && (!active.isConnected || active.disabled))",
        "if (mine && active.disabled)",
        ("tests/test_app.py::test_the_keyboard_alone_gives_hints_and_takes_them_away",),
    ),
    Mutation(
        "the app: no memory for a picture is an error of the server",
        "helpers/app.py",
        "exception_handlers={CourseError: _refuse, MemoryError: _refuse}",
        "exception_handlers={CourseError: _refuse}",
        (
            "tests/test_faults.py::test_a_fault_is_one_line_and_costs_nothing"
            "[a picture whose colors need more memory than the app has]",
        ),
    ),
    Mutation(
        "the app: a visitor who goes is an error of the server",
        "helpers/app.py",
        "except ClientDisconnect:",
        "except ZeroDivisionError:",
        ("tests/test_faults.py::test_visitors_who_go_while_they_send_leave_nothing",),
    ),
    Mutation(
        "own picture: hints are looked at once",
        "helpers/own_picture.py",
        "        if hints != self._hints:\n",
        "        if not self._hints:\n",
        ("tests/test_own_picture.py::test_hints_are_heeded_at_every_vividness_and_in_the_download",),
    ),
    Mutation(
        "own picture: too many pixels are unpacked",
        "helpers/preview.py",
        "if pixels > limits.megapixels * 10**6:",
        "if pixels > limits.megapixels * 10**7:",
        ("tests/test_own_picture.py",),
    ),
    Mutation(
        "own picture: two uploads mix",
        "helpers/own_picture.py",
        'self._parts.setdefault(asked["upload"], bytearray())',
        "self._parts.setdefault(1, bytearray())",
        ("tests/test_own_picture.py",),
    ),
    Mutation(
        "own picture: bold is careful",
        "helpers/own_picture.py",
        "networks.mix(self._ends, asked",
        "networks.mix(self._ends[::-1], asked",
        ("tests/test_own_picture.py",),
    ),
    Mutation(
        "own picture: what is shown has the full size",
        "helpers/preview.py",
        "scale = min(1, LONGEST / max(height, width))",
        "scale = 1",
        ("tests/test_own_picture.py",),
    ),
    # In JupyterLab
    Mutation(
        "a picture does not follow its slider",
        "helpers/display.py",
        '        control.observe(redraw, "value")\n',
        "",
        ("tests/test_jupyterlab.py::test_lesson_2_runs_and_a_slider_moves_its_picture",),
    ),
    Mutation(
        "own picture: nothing of a file comes over",
        "helpers/page/widget.js",
        "let start = 0; file && start < file.size;",
        "let start = 0; file && start > file.size;",
        ("tests/test_jupyterlab.py::test_lesson_6_runs_and_a_picture_comes_back_in_color_and_takes_a_hint",),
    ),
    Mutation(
        "own picture: a hint stays on the page",
        "helpers/own_picture.py",
        'hints = preview.hints(asked.get("hints"))',
        "hints = []",
        ("tests/test_jupyterlab.py::test_lesson_6_runs_and_a_picture_comes_back_in_color_and_takes_a_hint",),
    ),
    # A run's progress, and what it refuses
    Mutation(
        "side by side: nobody waits for the networks that it reads",
        "helpers/runner/run.py",
        "if not planned.after[lesson] & unfinished]",
        "if not planned.after[lesson] & set()]",
        ("tests/test_run.py::test_a_lesson_begins_when_the_networks_that_it_reads_are_there",),
    ),
    Mutation(
        "side by side: others begin after a failure",
        "helpers/runner/run.py",
        "ready[: 0 if errors else workers - len(running)]",
        "ready[: workers - len(running)]",
        ("tests/test_run.py::test_lessons_beside_a_failure_run_to_their_end_and_no_other_begins",),
    ),
    Mutation(
        "side by side: a lesson is told the memory of all",
        "helpers/runner/execute.py",
        "psutil.Process(self.kernel.pid)",
        "psutil.Process()",
        ("tests/test_run.py::test_each_lesson_is_told_its_own_memory",),
    ),
    Mutation(
        "the bar stands still within a cell",
        "helpers/runner/progress.py",
        "self._end.wait(TICK)",
        "self._end.wait(600)",
        ("tests/test_progress.py",),
    ),
    Mutation(
        "the kernel is not told where to say its epoch",
        "helpers/runner/execute.py",
        " | {STATUS: str(kind.status)}",
        "",
        ("tests/test_progress.py",),
    ),
    Mutation(
        "an unknown backbone is found out in lesson 4",
        "helpers/profiles.py",
        "        backbone_named(value, called or setting)\n",
        "        pass\n",
        ("tests/test_run.py",),
    ),
    Mutation(
        "the course's own error is a page of traceback",
        "helpers/errors.py",
        "_render_traceback_",
        "_render",
        ("tests/test_run.py",),
    ),
    Mutation(
        "learning by heart shows no epochs",
        "notebooks/03_baseline_cnn.ipynb",
        "callbacks=[clock], ",
        "callbacks=[], ",
        ("tests/test_clock_display.py",),
    ),
    # What the reader has set, how folders are called, and what shares a place
    Mutation(
        "a kernel imports whatever helpers are installed",
        "helpers/runner/environment.py",
        "filter(None, [root, ",
        "filter(None, [",
        ("tests/test_run.py",),
    ),
    Mutation(
        "a kernel runs the reader's IPython profile",
        "helpers/runner/environment.py",
        '        "IPYTHONDIR": str(folder / "ipython"),\n',
        "",
        ("tests/test_run.py",),
    ),
    Mutation(
        "papermill gets the output's path as it is",
        "helpers/runner/execute.py",
        "_Unharmed.named(output)",
        "str(output)",
        ("tests/test_run.py",),
    ),
    Mutation(
        "a picture follows the reader's matplotlibrc",
        "helpers/display.py",
        "    matplotlib.rcdefaults()\n",
        "",
        ("tests/test_display.py",),
    ),
    Mutation(
        "a layer follows the reader's keras.json",
        "helpers/backend.py",
        "\nset_defaults()\n",
        "\n",
        ("tests/test_backend.py",),
    ),
    Mutation(
        "photographs of one name share a run's folder",
        "helpers/profiles.py",
        '{name}-{called}-{where}"',
        '{name}-{called}"',
        ("tests/test_profiles.py",),
    ),
    Mutation(
        "a run of one lesson forgets what the summary says of others",
        "helpers/runner/run.py",
        '        lessons = {lesson["notebook"]: dict(lesson)',
        '        {lesson["notebook"]: dict(lesson)',
        ("tests/test_run.py",),
    ),
    # Lessons
    Mutation(
        "the factor is fitted on the test photographs",
        "notebooks/06_results_gallery.ipynb",
        'pairs.load(lesson, "validation", 200)',
        'pairs.load(lesson, "test", 200)',
        ("tests/test_lesson_code.py",),
    ),
    Mutation(
        "Adam remembers longer in lesson 5",
        "notebooks/05_dcgan.ipynb",
        "gan.compile(keras.optimizers.Adam(falling, beta_1=0.5))",
        "gan.compile(keras.optimizers.Adam(falling, beta_1=0.9))",
        ("tests/test_recorded.py",),
    ),
    Mutation(
        "the baseline is not seeded",
        "notebooks/03_baseline_cnn.ipynb",
        "keras.utils.set_random_seed(SEED)\nbaseline = ",
        "baseline = ",
        ("tests/test_recorded.py",),
    ),
    Mutation(
        "batches go backward",
        "helpers/batches.py",
        "self._order = random.permutation(count)",
        "self._order = random.permutation(count)[::-1]",
        ("tests/test_recorded.py",),
    ),
    # The tests' own rules
    Mutation(
        "nbval does not look at captions",
        "tests/course_plugin.py",
        'NOT_COMPARED = ("stderr", "text/html")',
        'NOT_COMPARED = ("stderr", "text/html", "text/markdown")',
        ("tests/test_course_plugin.py",),
    ),
    Mutation(
        "nbval compares measured values",
        "tests/course_plugin.py",
        'NOT_COMPARED = ("stderr", "text/html")',
        'NOT_COMPARED = ("stderr",)',
        ("tests/test_course_plugin.py",),
    ),
    Mutation(
        "another machine may print something else",
        "tests/gates.py",
        "kinds[output.name].append(output.text)",
        "pass",
        ("tests/test_gates.py",),
    ),
    Mutation(
        "another seed may stand anywhere",
        "tests/gates.py",
        r'r"^(\w+ profile · seed )\d+( ·.*?)(?: on \w+)?$"',
        r'r"(seed )\d+(.*)"',
        ("tests/test_gates.py",),
    ),
    Mutation(
        "the notebooks begin last",
        "tests/course_plugin.py",
        ', reverse=hasattr(config, "workerinput"))',
        ")",
        ("tests/test_course_plugin.py",),
    ),
    Mutation(
        "tests have no time limit",
        "pyproject.toml",
        "\ntimeout = 600\n",
        "\ntimeout = 0\n",
        ("tests/test_course_plugin.py",),
    ),
    Mutation(
        "a slow cell is ended as a test is",
        "tests/course_plugin.py",
        "item.add_marker(pytest.mark.timeout(config.option.nbval_cell_timeout + 300))",
        "pass",
        ("tests/test_course_plugin.py",),
    ),
    Mutation(
        "quick tests may load TensorFlow",
        "tests/course_plugin.py",
        "sys.modules.update(tensorflow=None, keras=None)",
        "pass",
        ("tests/test_course_plugin.py",),
    ),
    Mutation(
        "two workers run the notebooks",
        "tests/course_plugin.py",
        'return "notebooks" if path.endswith(".ipynb") else path',
        "return path",
        ("tests/test_course_plugin.py",),
    ),
    # Exercises
    Mutation(
        "exercises: a learner's exception is not caught",
        "helpers/exercises/answers.py",
        "        except (Exception, SystemExit) as error:\n            raise Hint",
        "        except ZeroDivisionError as error:\n            raise Hint",
        ("tests/test_exercises.py::test_check_never_raises",),
    ),
    Mutation(
        "exercises: the lesson's random state is not given back",
        "helpers/exercises/grading.py",
        "np.random.set_state(states[1])",
        "pass",
        ("tests/test_exercises.py::test_checks_leave_the_random_states_alone",),
    ),
    Mutation(
        "exercises: whoever looks at the test photographs is not noticed",
        "helpers/exercises/lesson_6.py",
        "    if test.seen:",
        "    if not validation.seen:",
        ("tests/test_exercises.py::test_a_mistake_gets_its_hint",),
    ),
    Mutation(
        "progress: after an endless loop the other answers are left out",
        "helpers/exercises/submissions.py",
        "        waiting = [number for number in waiting if number not in verdicts]",
        "        waiting = []",
        ("tests/test_exercises.py::test_one_bad_answer_leaves_the_others",),
    ),
    # The gallery, its game, and the votes
    Mutation(
        "gallery: more than a page can hold",
        "helpers/gallery.py",
        "few = shown[:MOST_PHOTOGRAPHS]",
        "few = shown",
        ("tests/test_gallery.py::test_of_many_photographs_the_first_are_shown",),
    ),
    Mutation(
        "gallery: scripts are not known by their hash",
        "helpers/gallery.py",
        "hashlib.sha256(text.encode()).digest()",
        "hashlib.sha256(text.strip().encode()).digest()",
        ("tests/test_gallery.py::test_styles_and_scripts_are_allowed_by_their_hash_alone",),
    ),
    Mutation(
        "gallery: a name ends the script",
        "helpers/gallery.py",
        '.replace("<", "\\\\u003c")',
        "",
        ("tests/test_gallery_page.py::test_a_strangers_text_stays_text_and_the_policy_refuses_a_script",),
    ),
    Mutation(
        "gallery: a stranger's text is HTML",
        "helpers/gallery.py",
        "autoescape=True",
        "autoescape=False",
        ("tests/test_gallery_page.py::test_a_strangers_text_stays_text_and_the_policy_refuses_a_script",),
    ),
    Mutation(
        "gallery: any wrong colors are to be caught",
        "helpers/gallery.py",
        'np.argsort(-metrics.measure(shown.rgb, wrong)["delta_e"])',
        'np.argsort(metrics.measure(shown.rgb, wrong)["delta_e"])',
        ("tests/test_gallery.py::test_colors_that_are_to_be_caught_are_those_that_fit_worst",),
    ),
    Mutation(
        "gallery: two galleries have one name",
        "helpers/gallery.py",
        "group, shown.checksum, *shown.names",
        "group, *shown.names",
        ("tests/test_gallery.py::test_a_set_of_networks_has_its_own_name",),
    ),
    Mutation(
        "gallery: grey is not first",
        "helpers/records.py",
        'rows = {title: trivial[name]["metrics"] for name, title in TRIVIAL.items()}',
        'rows = {title: trivial[name]["metrics"] for name, title in reversed(TRIVIAL.items())}',
        ("tests/test_gallery.py::test_the_tables_are_those_of_the_records_with_grey_first",),
    ),
    Mutation(
        "gallery: the line stands still",
        "helpers/gallery_page/gallery.js",
        'style.setProperty("--line-at"',
        'style.setProperty("--to"',
        ("tests/test_gallery_page.py::test_the_line_follows_keys_and_finger",),
    ),
    Mutation(
        "gallery: filters by the network on the left",
        "helpers/gallery_page/gallery.js",
        "const scores = colorings[right.value].delta_e;",
        "const scores = colorings[left.value].delta_e;",
        (
            "tests/test_gallery_page.py::test_filters_show_the_best_the_median_and_the_worst_of_the_network_on_the_right",
        ),
    ),
    Mutation(
        "gallery: the numbers of the photograph before",
        "helpers/gallery_page/gallery.js",
        "line.textContent = numbers(coloring, row);",
        "line.textContent = numbers(coloring, Math.max(row - 1, 0));",
        ("tests/test_gallery_page.py::test_either_side_of_the_line_shows_what_was_chosen_with_its_numbers",),
    ),
    Mutation(
        "game: a pair stays",
        "helpers/gallery_page/gallery.js",
        "timer = setTimeout(hide, SECOND);",
        "",
        ("tests/test_gallery_page.py::test_a_pair_is_seen_for_one_second",),
    ),
    Mutation(
        "game: the made-up picture is always on one side",
        "helpers/gallery_page/gallery.js",
        "madeUp: sides[Math.floor(random() * 2)]",
        'madeUp: "left"',
        ("tests/test_gallery_page.py::test_forty_rounds_are_played_and_the_file_says_what_happened",),
    ),
    Mutation(
        "game: the file names the other side",
        "helpers/gallery_page/gallery.js",
        "network, madeUp, answers[number]]",
        "network, sides[1 - sides.indexOf(madeUp)], answers[number]]",
        ("tests/test_gallery_page.py::test_forty_rounds_are_played_and_the_file_says_what_happened",),
    ),
    Mutation(
        "game: the interval is not Wilson's",
        "helpers/gallery_page/gallery.js",
        "const middle = fooled + z ** 2 / 2;",
        "const middle = fooled;",
        ("tests/test_gallery_page.py::test_the_result_is_that_of_the_file",),
    ),
    Mutation(
        "game: the number changes nothing",
        "helpers/gallery_page/gallery.js",
        "plan(tested, randomFrom(seed))",
        "plan(tested, randomFrom(1))",
        ("tests/test_gallery_page.py::test_a_number_gives_the_same_rounds_again_and_another_one_others",),
    ),
    Mutation(
        "game: goes on after it was stopped",
        "helpers/gallery_page/gallery.js",
        "function end() {\n    clearTimeout(timer);\n",
        "function end() {\n",
        ("tests/test_gallery_page.py::test_the_game_is_played_by_keys_alone_and_can_be_stopped",),
    ),
    Mutation(
        "votes: nobody is left out",
        "helpers/votes.py",
        "return self.missed <= MOST_MISSED",
        "return True",
        ("tests/test_votes.py::test_who_misses_more_than_two_catch_trials_does_not_count",),
    ),
    Mutation(
        "votes: catch trials are votes",
        "helpers/votes.py",
        "            if network != CATCH:\n",
        "            if network:\n",
        ("tests/test_votes.py::test_a_class_is_pooled",),
    ),
    Mutation(
        "votes: an edited line is taken",
        "helpers/votes.py",
        " or row[-1] != check(row[:-1])",
        "",
        (
            "tests/test_votes.py::test_a_file_that_is_none_of_ours_is_named_in_one_line_and_the_rest_is_pooled",
        ),
    ),
    Mutation(
        "votes: a game counts twice",
        "helpers/votes.py",
        "if earlier.play == play.play]",
        "if earlier is play]",
        ("tests/test_votes.py::test_a_game_counts_once_and_other_pictures_do_not",),
    ),
    Mutation(
        "votes: what a class has played is compared",
        "notebooks/06_results_gallery.ipynb",
        '    plain="Table: how often each network fooled its viewers, by the votes of a class.",\n',
        "",
        ("tests/test_votes.py::test_lesson_6_pools_a_class_and_its_text_does_not_depend_on_the_files",),
    ),
    Mutation(
        "votes: a refused file is no failure",
        "helpers/__main__.py",
        "return 1 if votes.report(paths) else 0",
        "return votes.report(paths) * 0",
        ("tests/test_votes.py::test_a_game_counts_once_and_other_pictures_do_not",),
    ),
    Mutation(
        "a run does not say where its gallery is",
        "helpers/runner/run.py",
        "if (gallery_page := planned.out / places.GALLERY).is_file():",
        "if (gallery_page := planned.out / places.GALLERY).is_dir():",
        ("tests/test_run.py::test_a_run_that_has_a_gallery_says_where_it_is",),
    ),
    # The teacher's guide
    Mutation(
        "solutions count as text to read",
        "helpers/timetable.py",
        'elif cell["cell_type"] == "markdown" and "solution" not in _tags(cell):',
        'elif cell["cell_type"] == "markdown":',
        ("tests/test_guide.py",),
    ),
    Mutation(
        "minutes of other code count",
        "helpers/timetable.py",
        'if name not in cells or "".join(cells[name]["source"]) != source:',
        "if name not in cells:",
        ("tests/test_guide.py",),
    ),
    Mutation(
        "minutes of a cell that failed count",
        "helpers/timetable.py",
        'if record.get("status") != "completed" or record.get("duration") is None:',
        'if record.get("duration") is None:',
        ("tests/test_guide.py",),
    ),
    Mutation(
        "a prediction is left without its answer",
        "notebooks/TEACHING.md",
        "| Where is its histogram empty? |",
        "| Where is its histogram full? |",
        ("tests/test_guide.py",),
    ),
    # Faults
    Mutation(
        "a network with foreign layers is loaded",
        "helpers/networks.py",
        "        _check_parts(path, config)\n",
        "",
        ("tests/test_faults.py",),
    ),
    Mutation(
        "a network may hold other files",
        "helpers/networks.py",
        "            _check_members(path, archive)\n",
        "",
        ("tests/test_faults.py",),
    ),
    Mutation(
        "a layer that runs code is one of Keras",
        "helpers/networks.py",
        "if not own or name in _REFUSED:",
        "if not own:",
        ("tests/test_faults.py",),
    ),
    Mutation(
        "a record of another network is taken",
        "helpers/colorize.py",
        "    if weights != network.count_params():",
        "    if False:",
        ("tests/test_faults.py",),
    ),
    Mutation(
        "a loss that is no number is trained on",
        "helpers/training.py",
        "        self._check_numbers(logs, batch)\n",
        "",
        ("tests/test_faults.py",),
    ),
    Mutation(
        "broken weights are kept",
        "helpers/training.py",
        "        super().on_epoch_end(epoch, logs)\n        self._check_weights()\n",
        "        super().on_epoch_end(epoch, logs)\n",
        ("tests/test_faults.py",),
    ),
    Mutation(
        "a full disk is an error of the system",
        "helpers/files.py",
        "_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)",
        "_NO_ROOM = (errno.EFBIG,)",
        ("tests/test_faults.py",),
    ),
    Mutation(
        "a server may send without end",
        "helpers/photographs/transfer.py",
        "                if received > most:\n                    break\n",
        "",
        ("tests/test_faults.py",),
    ),
    Mutation(
        "a picture that cannot be written ends the rest",
        "helpers/album.py",
        "            except (CourseError, OSError) as error:\n                wrong",
        "            except OSError as error:\n                wrong",
        ("tests/test_faults.py",),
    ),
    Mutation(
        "a name steers the terminal",
        "helpers/errors.py",
        '_STEERS = {"Cc", "Cf", "Zl", "Zp"}',
        '_STEERS = {"Cf", "Zl", "Zp"}',
        ("tests/test_faults.py",),
    ),
    Mutation(
        "a cut archive is an error of Python",
        "helpers/photographs/archives.py",
        "    except _DAMAGE as error:\n        raise _damaged(path, error) from None\n    raise",
        "    raise",
        ("tests/test_faults.py",),
    ),
    Mutation(
        "other photographs in a cache are taken",
        "helpers/photographs/collection.py",
        "    if rgb.dtype != np.uint8 or rgb.shape",
        "    if rgb.dtype != np.uint8 and rgb.shape",
        ("tests/test_faults.py",),
    ),
    Mutation(
        "what a killed kernel needs less of is not said",
        "helpers/runner/execute.py",
        'advice = f"; {LESS}" if',
        'advice = "" if',
        ("tests/test_faults.py",),
    ),
    Mutation(
        "a cut manifest is an error of Python",
        "helpers/photographs/unsplash.py",
        "    except (ValueError, KeyError, TypeError, AttributeError):\n        whole = False\n",
        "    except KeyError:\n        whole = False\n",
        ("tests/test_faults.py",),
    ),
    Mutation(
        "an older error hides what led to it",
        "helpers/errors.py",
        "        hidden.__suppress_context__ = False\n",
        "        pass\n",
        ("tests/test_faults.py",),
    ),
    # Many photographs
    Mutation(
        "tarfile keeps its notes",
        "helpers/photographs/archives.py",
        "            archive.members.clear()\n",
        "",
        ("tests/test_archives.py::test_the_files_of_a_tar_are_not_remembered",),
    ),
    Mutation(
        "all pairs are compared at once",
        "helpers/photographs/hygiene.py",
        "_PAIRS = 2**18",
        "_PAIRS = 2**40",
        ("tests/test_hygiene.py::test_not_all_pairs_are_compared_at_one_time",),
    ),
    Mutation(
        "all calls wait at once",
        "helpers/threads.py",
        "_AT_ONCE = 1024",
        "_AT_ONCE = 10**6",
        ("tests/test_threads.py",),
    ),
    Mutation(
        "threads are started for each task",
        "helpers/threads.py",
        "@cache\ndef _pool",
        "def _pool",
        ("tests/test_threads.py",),
    ),
    Mutation(
        "the lightness of all photographs stays in memory",
        "helpers/photographs/prepare.py",
        "dataclasses.replace(descriptors, lightness=np.empty((0, 256)))",
        "descriptors",
        ("tests/test_photographs.py::test_memory_grows_by_less_than_a_kilobyte_for_each_photograph",),
    ),
    Mutation(
        "batches are read into memory",
        "helpers/augment.py",
        'np.load(file, mmap_mode="r", allow_pickle=False)',
        "np.load(file, allow_pickle=False)",
        ("tests/test_photographs.py::test_memory_grows_by_less_than_a_kilobyte_for_each_photograph",),
    ),
    Mutation(
        "embeddings are read into memory",
        "helpers/embeddings.py",
        'np.load(file, mmap_mode="c", allow_pickle=False)',
        "np.load(file, allow_pickle=False)",
        ("tests/test_embeddings.py",),
    ),
    Mutation(
        "batches copy what they are made of",
        "helpers/batches.py",
        "np.asarray(prepare(photographs, contrast))",
        "np.array(prepare(photographs, contrast))",
        ("tests/test_photographs.py::test_memory_grows_by_less_than_a_kilobyte_for_each_photograph",),
    ),
    # Sweeps, devices, machines, precision
    Mutation(
        "a sweep does again what is done",
        "helpers/runner/sweep.py",
        'return read["made_from"] == combination.made_from',
        "return False",
        ("tests/test_sweep.py",),
    ),
    Mutation(
        "a sweep takes another lesson's result for this one's",
        "helpers/runner/sweep.py",
        'return read["made_from"] == combination.made_from',
        "return True",
        ("tests/test_sweep.py",),
    ),
    Mutation(
        "the last of two equal keys of a grid counts",
        "helpers/runner/grid.py",
        "if count > 1]:",
        "if count > 2]:",
        ("tests/test_grid.py",),
    ),
    Mutation(
        "a combination is made from the same, whatever its photographs",
        "helpers/runner/grid.py",
        "json.dumps(given, sort_keys=True), *photographs)",
        "json.dumps(given, sort_keys=True))",
        ("tests/test_grid.py",),
    ),
    Mutation(
        "Ctrl-C reaches the workers of a sweep",
        "helpers/runner/sweep.py",
        "signal.signal(signal.SIGINT, signal.SIG_IGN)",
        "pass",
        ("tests/test_sweep.py::test_who_presses_ctrl_c_reads_one_line_and_goes_on_later",),
    ),
    Mutation(
        "a mean over seeds is of all settings",
        "helpers/runner/comparison.py",
        "if name != SEED}",
        "if False}",
        ("tests/test_sweep.py",),
    ),
    Mutation(
        "what two devices cannot share is left as it is, on TensorFlow",
        "helpers/devices.py",
        "times = tf.where(size % count == 0, 1, count)",
        "times = 1",
        ("tests/test_devices.py",),
    ),
    Mutation(
        "a GAN is trained with a loss that is added up",
        "helpers/devices.py",
        'if backend == "tensorflow" and own_loss and count > 1:',
        "if False:",
        ("tests/test_devices.py",),
    ),
    Mutation(
        "each of two machines trains on all of a batch",
        "helpers/devices.py",
        "    if machines.joined():\n        _on_several_machines(trainer)\n",
        "",
        ("tests/test_machines.py::test_two_machines_train_as_one_at_the_same_batch",),
    ),
    Mutation(
        "two machines train on different photographs",
        "helpers/machines.py",
        "    if differing:",
        "    if False:",
        ("tests/test_machines.py::test_machines_with_other_photographs_are_refused_on_each",),
    ),
    Mutation(
        "a machine goes on from what it has, not from what machine 0 has",
        "helpers/training.py",
        "            machines.share(self._folder)\n",
        "",
        ("tests/test_machines.py::test_when_one_is_killed_the_other_ends_in_a_line_and_both_can_go_on",),
    ),
    Mutation(
        "a network is saved in the precision of its training",
        "helpers/networks.py",
        "precision.in_full(network).save(part)",
        "network.save(part)",
        ("tests/test_precision.py",),
    ),
)


def mutate(root: Path, mutation: Mutation) -> None:
    """Apply a mutation to the files under a folder."""
    path = root / mutation.file
    notebook = nbformat.read(path, as_version=4) if path.suffix == ".ipynb" else None
    texts = [cell.source for cell in notebook.cells] if notebook else [path.read_text("utf-8")]
    if (count := sum(text.count(mutation.old) for text in texts)) != 1:
        raise ValueError(f"its old text stands {count} times in {mutation.file}")
    texts = [text.replace(mutation.old, mutation.new) for text in texts]
    if notebook:
        for cell, text in zip(notebook.cells, texts, strict=True):
            cell.source = text
        nbformat.write(notebook, path)
    else:
        path.write_text(texts[0], "utf-8")


def copy_checkout(target: Path) -> None:
    """Copy what git tracks, and what is new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)


def first_failure(root: Path, tests: tuple[str, ...]) -> str:
    """Run tests in a copy of the checkout; return the first that fails, '' if all pass."""
    environment = os.environ | {
        "PYTHONPATH": str(root),
        # A mutated file may be as old and as long as the one that was compiled.
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-o", "addopts=", "-p", "no:cacheprovider", *tests]
    ended = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    if ended.returncode == 0:
        return ""
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", ended.stdout, re.MULTILINE)
    if not failed:
        raise ValueError(
            f"pytest did not run {', '.join(tests)}:\n{ended.stdout[-2000:]}{ended.stderr[-2000:]}"
        )
    return failed[1]


def main(words: list[str]) -> int:
    """Try the mutations that the words choose, and print one line for each."""
    chosen = [each for each in MUTATIONS if not words or any(word in each.name for word in words)]
    if not chosen:
        print("no such mutation; there are:", *(each.name for each in MUTATIONS), sep="\n  ")
        return 1
    green = cache(first_failure)
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        copy_checkout(root)
        for mutation in chosen:
            original = (root / mutation.file).read_bytes()
            try:
                if failing := green(root, mutation.tests):
                    raise ValueError(f"without it {failing} fails already")
                mutate(root, mutation)
                verdict = first_failure(root, mutation.tests)
            except ValueError as error:
                wrong += 1
                print(f"{mutation.name:<50} NOT TRIED: {error}", flush=True)
            else:
                wrong += not verdict
                print(f"{mutation.name:<50} {verdict or 'SURVIVED'}", flush=True)
            (root / mutation.file).write_bytes(original)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
