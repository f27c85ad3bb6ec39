"""Paths from one folder to another, as the system follows them where folders are symbolic links."""

import os


def absolute(path: str) -> str:
    """Return the absolute path without `..` of the same file; links stay, but for those that a `..` follows.

    >>> absolute("/data/faces/../a.png")
    '/data/a.png'
    """
    parts = path.split("/")
    after = max((number for number, part in enumerate(parts, 1) if part == ".."), default=0)
    whole = os.path.abspath(path)  # noqa: PTH100 (resolve() would follow links)
    if after:
        above = "/".join(parts[:after])
        real = os.path.realpath(above)
        if os.path.realpath(os.path.abspath(above)) != real:  # noqa: PTH100
            whole = os.path.join(real, *parts[after:])  # noqa: PTH118
    return os.path.normpath(whole)


class PathsFrom:
    """Makes paths relative to a folder; computed once a folder, not once an image.

    `..` leaves what a link names, not the link: where the folder lies behind one, the way up is counted from its real
    place. Links below it, and those to files, keep their names.

    Args:
        base: the folder that the paths shall be relative to.

    >>> paths = PathsFrom("/data/runs")
    >>> paths("/data/runs/faces/a.png"), paths("/data/faces/a.png"), paths("/data/runs/b.png")
    ('faces/a.png', '../faces/a.png', 'b.png')
    """

    def __init__(self, base: str | os.PathLike[str]) -> None:
        self.base = absolute(os.fspath(base))
        self.real = os.path.realpath(self.base)
        self.folders = dict[str, str]()
        self.leads = dict[str, bool]()

    def __call__(self, path: str) -> str:
        """Return the path, relative to `base`, of what is relative to the working folder, or absolute."""
        folder, _, name = path.rpartition("/")
        prefix = self.folders.get(folder)
        if prefix is None:
            there = self._way(absolute(folder or ("/" if path.startswith("/") else "."))).replace(os.sep, "/")
            prefix = self.folders[folder] = "" if there == "." else there + "/"
        return prefix + name

    def _way(self, folder: str) -> str:
        """Return the way from `base` to a folder, both absolute."""
        way = os.path.relpath(folder, self.base)
        common = os.path.commonpath([folder, self.base])
        if common not in self.leads:
            up = os.path.relpath(common, self.base)
            self.leads[common] = os.path.normpath(os.path.join(self.real, up)) == os.path.realpath(common)  # noqa: PTH118
        return way if self.leads[common] else os.path.relpath(folder, self.real)
