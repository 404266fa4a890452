"""A build's git worktree: made, and made again where a kill left half of one."""

from __future__ import annotations

import configparser
import io
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from evergreen.builds.git import git
from evergreen.builds.records import Clone
from evergreen.builds.remote import NAME, remote_options
from evergreen.errors import BuildError
from evergreen.files import write_atomic

_READY = "evergreen-ready"


def is_ready(worktree: Path) -> bool:
    """Whether the worktree was finished; one killed half-way never gets the mark."""
    mark = made_ready(worktree)
    return mark is not None and mark.exists()


def made_ready(worktree: Path) -> Path | None:
    """The mark of a finished worktree, whose date says when it was made; None where git does not know the worktree."""
    state = _state(worktree)
    return state and state / _READY


def mark_ready(worktree: Path) -> None:
    """Mark a worktree as finished."""
    state = _state(worktree)
    if state is None:
        raise BuildError(f"{worktree} is no git worktree any more: run the task again")
    write_atomic(state / _READY, "")


def add_worktree(clone: Clone, build: str, commit: str) -> Path:
    """Check `commit` out into the build's folder, after removing whatever is left there."""
    worktree = clone.worktree(build)
    remove_worktree(clone, build)
    worktree.parent.mkdir(parents=True, exist_ok=True)
    git(clone.repository, "worktree", "add", "--detach", str(worktree), commit)
    return worktree


def configure_dvc(clone: Clone, build: str) -> None:
    """Point the worktree's DVC at the home's cache, scratch and remote by its `.dvc/config.local`.

    The main checkout's own config.local (credentials) is carried over. A committed remote that is a URL or an
    absolute path stays; a relative one would be another place in every worktree. That of EVERGREEN_DVC_REMOTE is used
    instead of it, under a name of its own: the options of the committed one may be those of another service.
    """
    worktree = clone.worktree(build)
    _keep_others_out(clone)
    folder = _dvc_folder(worktree, clone.folder)
    committed = _read(folder / "config")
    local = _read(clone.repository / folder.relative_to(worktree) / "config.local")
    merged = _read(folder / "config")
    merged.read_dict(local)
    options = remote_options()
    remote = NAME if options else merged.get("core", "remote", fallback="home").strip("\"'")
    section = f"'remote \"{remote}\"'"
    _set(local, "core", "remote", remote)
    _set(local, "core", "autostage", "false")
    _set(local, "core", "analytics", "false")
    _set(local, "core", "check_update", "false")
    _set(local, "core", "site_cache_dir", str(clone.dvc_scratch(build)))
    _set(local, "cache", "dir", str(clone.home.dvc / "cache"))
    if not committed.has_option("cache", "type"):
        _set(local, "cache", "type", "copy")  # a hard link written through as root corrupts the shared cache
    if not options and not _absolute(merged.get(section, "url", fallback="")):
        options = {"url": str(clone.home.dvc / "remote")}
    for key, value in options.items():
        _set(local, section, key, value)
    text = io.StringIO()
    local.write(text)
    place = folder / "config.local"
    if not place.exists() or place.read_text() != text.getvalue():
        write_atomic(place, text.getvalue())


def remove_worktree(clone: Clone, build: str) -> None:
    """Remove a build's worktree with its registration, also where git calls it missing or locked."""
    worktree = clone.worktree(build)
    shutil.rmtree(worktree, ignore_errors=True)
    for entry in (clone.repository / ".git" / "worktrees").glob("*"):
        pointer = entry / "gitdir"
        # git writes the pointer first of all; an entry without one is a kill's, and `git worktree prune` takes it.
        if pointer.exists() and Path(pointer.read_text().strip()) == worktree / ".git":
            shutil.rmtree(entry)


def _keep_others_out(clone: Clone) -> None:
    """Make the folders above DVC's scratch, which DVC itself makes with the mode 0777, whatever the umask is.

    It means them for all users of a machine; here others could put their own objects into cache and remote. Where an
    earlier version has let DVC make them, that is mended.
    """
    site = clone.home.dvc / "site"
    site.mkdir(parents=True, exist_ok=True, mode=0o700)
    for folder, closed in ((clone.home.dvc, 0o002), (site, 0o077)):
        mode = stat.S_IMODE(folder.stat().st_mode)
        if mode & closed:
            with suppress(PermissionError):  # of a home that another user made, who is to mend it
                folder.chmod(mode & ~closed)


def _state(worktree: Path) -> Path | None:
    """Git's own folder of a worktree, if both sides still know each other."""
    pointer = worktree / ".git"
    if not pointer.is_file():
        return None
    state = Path(pointer.read_text().removeprefix("gitdir:").strip())
    return state if (state / "HEAD").exists() else None


def _dvc_folder(worktree: Path, folder: Path) -> Path:
    """The `.dvc` that governs the project: its own, or that of a folder above."""
    for place in (folder, *folder.parents):
        if (worktree / place / ".dvc" / "config").is_file():
            return worktree / place / ".dvc"
    raise BuildError(f"the base commit has no .dvc/config: run `dvc init` in the clone of {folder} and commit it")


def _read(place: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    if place.exists():
        parser.read_string(place.read_text())
    return parser


def _set(parser: configparser.RawConfigParser, section: str, key: str, value: str) -> None:
    if not parser.has_section(section):
        parser.add_section(section)
    parser.set(section, key, f'"{value}"')


def _absolute(url: str) -> bool:
    plain = url.strip("\"'")
    return "://" in plain or Path(plain).is_absolute()
