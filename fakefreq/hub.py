"""The Hugging Face hub: names such as `hf://owner/name@revision`, what is fetched from there and what is sent."""

import contextlib
import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Literal, NamedTuple

from fakefreq.errors import UserError
from fakefreq.version import __version__

logger = logging.getLogger(__name__)

Kind = Literal["model", "dataset"]
FORMS: dict[Kind, str] = {"model": "hf://owner/name[@revision]", "dataset": "hf://datasets/owner/name[@revision]"}
_NOUNS: dict[Kind, str] = {"model": "model", "dataset": "data set"}
_NO_ENTRANCE = "log in with `hf auth login`, or set HF_TOKEN, if it is private"


class HubName(NamedTuple):
    """What a name on the hub means.

    Args:
        kind: `model` or `dataset`.
        name: owner/name.
        revision: branch, tag or commit; empty: the head of `main`.
    """

    kind: Kind
    name: str
    revision: str = ""

    def __str__(self) -> str:
        place = "datasets/" if self.kind == "dataset" else ""
        return f"hf://{place}{self.name}{'@' if self.revision else ''}{self.revision}"


def is_hub_name(given: str | PurePath) -> bool:
    """Whether a name begins with `hf://`; as a `Path` it has lost one slash.

    >>> is_hub_name("hf://owner/name"), is_hub_name(Path("hf://owner/name")), is_hub_name("runs/hf")
    (True, True, False)
    """
    return _text(given).startswith("hf:/")


def parse_hub_name(given: str | PurePath, kind: Kind) -> HubName:
    """Return what a name means.

    Args:
        given: `hf://owner/name[@revision]`, of a data set `hf://datasets/owner/name[@revision]`.
        kind: which of them is wanted.

    Raises:
        UserError: it is malformed, or of the other kind.

    >>> parse_hub_name("hf://datasets/owner/name@v1", "dataset")
    HubName(kind='dataset', name='owner/name', revision='v1')
    """
    text = re.sub(r"^hf:/+", "", _text(given))
    shown = f"hf://{text}"
    word, _, rest = text.partition("/")
    found: Kind = "dataset" if word == "datasets" else "model"
    if found != kind:
        raise UserError(f"{shown} names a {_NOUNS[found]}; a {_NOUNS[kind]} is due here: {FORMS[kind]}")
    if word in ("datasets", "models"):
        text = rest
    name, at, revision = text.partition("@")
    check_name(name, shown, kind)
    if at and not re.fullmatch(r"[\w./-]+", revision):
        raise UserError(f"{shown}: {revision!r} is no branch, tag or commit; write {FORMS[kind]}")
    return HubName(kind, name, revision)


def check_name(name: str, shown: str = "", kind: Kind = "model") -> None:
    """Refuse what cannot be a name on the hub.

    Args:
        name: owner/name.
        shown: as the user wrote it.
        kind: which form the message shows.

    Raises:
        UserError: it is malformed.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    form, told = (FORMS[kind], shown) if shown else ("owner/name", repr(name))
    if not re.fullmatch(r"[^/]+/[^/]+", name):
        raise UserError(f"{told} is no name on the hub; it is {form}")
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise UserError(
            f"{told} is no name on the hub; it is {form}, each of letters, digits, `-`, `_` and `.`, 96 "
            "together at most, without -- and .. and with none of - and . at an end"
        ) from error


def fetch(name: HubName, patterns: Sequence[str]) -> tuple[Path, HubName]:
    """Fetch files of a revision into the hub's cache; what is there already is not fetched again.

    Args:
        name: as `parse_hub_name` returns it.
        patterns: of the files' paths, as a shell's, in which `*` also stands for `/`.

    Returns:
        The folder that holds them, and the name with its revision's commit.

    Raises:
        UserError: no such name or revision, no right to see it, no network and nothing in the cache, a full disk.
    """
    from huggingface_hub import snapshot_download

    with _told(name), _quiet():
        folder = snapshot_download(
            name.name, repo_type=name.kind, revision=name.revision or None, allow_patterns=list(patterns),
            endpoint=_endpoint(), library_name="fakefreq", library_version=__version__,
        )  # fmt: skip
    return Path(folder), name._replace(revision=Path(folder).name)


def list_files(name: HubName) -> list[str]:
    """Return the paths of all files of a revision, sorted.

    Raises:
        UserError: as `fetch`.
    """
    from huggingface_hub import HfApi

    with _told(name):
        api = HfApi(endpoint=_endpoint())
        return sorted(api.list_repo_files(name.name, repo_type=name.kind, revision=name.revision or None))


def send_model(folder: Path, name: HubName, message: str, marker: str, private: bool = False) -> HubName:
    """Send all files of a folder as one commit, to a repository that is made where it is missing.

    Args:
        folder: without folders below it.
        name: of the repository.
        message: of the commit.
        marker: a file that a repository must hold to be written to, unless it holds nothing yet.
        private: make it private.

    Returns:
        The name with the new commit.

    Raises:
        UserError: no token or one without the right, a repository that holds something else or is public where a
            private one is wanted, no network, or the hub refuses the model card.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    api = HfApi(endpoint=_endpoint(), library_name="fakefreq", library_version=__version__)
    files = [CommitOperationAdd(path.name, path) for path in sorted(folder.iterdir())]
    is_new = False
    with _told(name):
        who = api.whoami()
        allowed = [str(who["name"]), *(str(one["name"]) for one in who.get("orgs", []))]
        if name.name.partition("/")[0] not in allowed:
            raise UserError(f"{name}: the token is of {', '.join(allowed)}; OWNER/NAME begins with one of them")
        try:
            info = api.model_info(name.name)
        except RepositoryNotFoundError:
            api.create_repo(name.name, private=private)
            is_new = True
        else:
            _refuse_other(name, [one.rfilename for one in info.siblings or []], marker)
            if private and not info.private:
                raise UserError(f"{name} is there already, and public; leave --private, or choose another name")
    try:
        with _told(name), _quiet():
            commit = api.create_commit(name.name, files, commit_message=message)
    except UserError as error:
        stays = f"; the empty repository {name.name} that was made for it stays" if is_new else ""
        raise UserError(f"{error}{stays}") from error
    return name._replace(revision=commit.oid)


def _refuse_other(name: HubName, files: Sequence[str], marker: str) -> None:
    others = sorted(set(files) - {".gitattributes", "README.md"})
    if others and marker not in files:
        raise UserError(f"{name} holds something else ({', '.join(others[:4])}); choose another name")


def _text(given: str | PurePath) -> str:
    return given if isinstance(given, str) else given.as_posix()


def _endpoint() -> str | None:
    """The hub's address as the environment says it now; None: huggingface.co."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's warnings, whose errors are raised anyway, and without its bars where nobody looks."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    noisy, are_off = logging.getLogger("huggingface_hub"), are_progress_bars_disabled()
    level = noisy.level
    noisy.setLevel(logging.ERROR)
    if not are_off and not sys.stderr.isatty():
        disable_progress_bars()
    try:
        yield
    finally:
        noisy.setLevel(level)
        if not are_off:
            enable_progress_bars()


@contextlib.contextmanager
def _told(name: HubName) -> Iterator[None]:
    """Turn what the hub's library raises into one line that says what to do."""
    from huggingface_hub import errors

    noun = _NOUNS[name.kind]
    try:
        yield
    except errors.LocalTokenNotFoundError as error:
        raise UserError("there is no token to write to the hub with: `hf auth login`, or set HF_TOKEN") from error
    except errors.GatedRepoError as error:
        raise UserError(
            f"{name} is gated: accept its terms on its page, then `hf auth login` or set HF_TOKEN"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(f"the hub has no {noun} {name.name}, or does not show it; {_NO_ENTRANCE}") from error
    except errors.RevisionNotFoundError as error:
        raise UserError(
            f"the {noun} {name.name} has no revision {name.revision!r}; change what stands after @"
        ) from error
    except errors.HfHubHTTPError as error:
        code = error.response.status_code
        said = (error.server_message or str(error)).strip().splitlines()[0]
        if code in (401, 403):
            raise UserError(
                f"{name}: the hub refuses the token ({code}: {said}); it needs the right to write"
            ) from error
        raise UserError(f"{name}: the hub answered {code}: {said}") from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, errors.HTTPError) as error:  # type: ignore[attr-defined]
        where = _endpoint() or "https://huggingface.co"
        raise UserError(
            f"{name}: the hub at {where} cannot be reached ({_reason(error)}), and the cache does not hold it; "
            "go on where there is a network, or give a folder"
        ) from error
    except (OSError, RuntimeError) as error:
        raise UserError(f"{name}: {_reason(error)}") from error
    except ValueError as error:  # such as a model card that the hub does not take
        raise UserError(f"{name}: {' '.join(str(error).split())}") from error


def _reason(error: BaseException) -> str:
    """The innermost cause, in a line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [""])[0] or type(error).__name__
