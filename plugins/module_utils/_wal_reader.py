# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading the WAL of one cluster: from a repository, its directory, and what was rescued. Private to the collection."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
import typing as t
from collections import Counter, deque
from concurrent.futures import Future, ThreadPoolExecutor

from ._archive_files import files_in_directory, files_in_json
from ._archive_listing import Listing, list_archive
from ._cli import PgBackRest, local_repository
from ._cluster import ClusterError, read_control_data, read_text
from ._control_stand_in import knows, write_stand_in
from ._directory import lock_directory
from ._repository import Archive
from ._wal import HistoryEntry, Segment, format_lsn, parse_history, parse_segment
from ._wal_header import belongs, end_of_continuation, read_header
from ._waldump import Commit, End, Record, parse_commit, parse_record, parse_restore_point

_SEGMENT = re.compile(r"[0-9A-F]{24}")
_PREFIX = "pgops-wal-"
_PARALLEL = 4
_LAST_ENDS = 1000  # of a segment, looked at for the latest time: clocks may have been set back
_STALE_AFTER = 60  # seconds; a younger directory may not have its lock yet
_QUIET = {"log_level_file": "off"}


class WalError(Exception):
    """WAL cannot be read; the text says which and why."""


class WalReader:
    """The WAL that one archive id of one repository and this host have. Close it: it has a temporary directory.

    At most three segments are on disk: the one looked at, the next, and one on its way.
    """

    def __init__(
        self,
        backrest: PgBackRest,
        stanza: str,
        archive: Archive,
        system_id: int,
        pg_version: str,
        pgdata: str,
        bindir: str | None,
        workspace: str | None,
    ) -> None:
        self._backrest = backrest
        self._archive = archive
        self._path_in_repository = f"archive/{stanza}/{archive.id}"
        self._repo = archive.repo_key
        self.system_id = system_id
        self._pg_major = int(pg_version.split(".")[0])
        self._pgdata = pgdata
        self._bindir = bindir
        self._rescued = os.path.join(workspace, "rescued", str(system_id)) if workspace else None
        self._directory: str | None = None
        self._resources = contextlib.ExitStack()
        self._listing: Listing | None = None
        self._here: dict[str, str] | None = None
        self._local: dict[str, str] | None = None
        self._segment_size: int | None = None
        self._users: Counter[str] = Counter()
        self._locks: dict[str, threading.Lock] = {}
        self._pg_path: str | None = None

    def __enter__(self) -> WalReader:
        return self

    def __exit__(self, *dummy: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove what was fetched."""
        self._resources.close()
        self._directory, self._pg_path = None, None

    @property
    def segment_size(self) -> int:
        """Size of a segment in bytes, read from the header of one. Raises WalError when there is none."""
        if self._segment_size is None:
            archived = self.listing().last_segment()
            path = max(self.wal_here().values(), default=None)
            if path is None and archived is None:
                raise WalError(f"There is no WAL of cluster {self.system_id} in repository {self._repo} nor here.")
            header = read_header(path or self._get(archived or ""))
            if header is None:
                raise WalError(f"The newest WAL of cluster {self.system_id} has no header of a WAL segment.")
            self._segment_size = header.segment_size
        return self._segment_size

    def listing(self) -> Listing:
        """What the archive holds. Raises WalError."""
        if self._listing is None:
            self._listing = self._seen_here() or self._told()
        return self._listing

    def history(self, timeline: int) -> str:
        """Text of the history file of a timeline, from the repository or else from this host. Raises WalError."""
        name = f"{timeline:08X}.history"
        if name in self.listing():
            text = read_text(self._get(name))
        else:
            text = next(filter(None, (read_text(os.path.join(place, name)) for place in self._places())), None)
        if text is None:
            raise WalError(f"The history file {name} is neither in repository {self._repo} nor on this host.")
        return text

    def histories(self, timelines: t.Sequence[int]) -> dict[int, list[HistoryEntry]]:
        """Entries of several history files, by timeline. Raises WalError."""
        self._prepare()
        with ThreadPoolExecutor(max_workers=_PARALLEL) as pool:
            texts = zip(timelines, pool.map(self.history, timelines))
            return {timeline: read_history(f"{timeline:08X}.history", text) for timeline, text in texts}

    def local_histories(self) -> list[int]:
        """Timelines whose history file is on this host."""
        names = (name for place in self._places() for name in _names(place))
        return sorted({int(name[:8], 16) for name in names if re.fullmatch(r"[0-9A-F]{8}\.history", name)})

    def wal_here(self) -> dict[str, str]:
        """Name and path of all WAL of this cluster on this host: in its directory, and rescued.

        PostgreSQL gives segments that it no longer needs the names of future ones. Their header still has the old
        address, so they do not count.
        """
        if self._here is None:
            found: dict[str, str] = {}
            for place in self._places():
                for name in filter(_SEGMENT.fullmatch, _names(place)):
                    path = os.path.join(place, name)
                    if belongs(name, read_header(path), self.system_id):
                        found.setdefault(name, path)
            self._here = found
        return self._here

    def local_segments(self) -> dict[str, str]:
        """Of the WAL on this host that which goes together with the archive.

        A timeline that went another way than the archived one of this number was begun by another cluster.
        """
        if self._local is None:
            here = self.wal_here()
            origins = {(os.path.dirname(path), int(name[:8], 16)) for name, path in here.items()}
            strays = {origin for origin in origins if self._strays(*origin)}
            self._local = {
                name: path for name, path in here.items() if (os.path.dirname(path), int(name[:8], 16)) not in strays
            }
        return self._local

    @contextlib.contextmanager
    def open(self, name: str) -> t.Iterator[str]:
        """Path of the plain segment: fetched from the archive, else the one on this host. Raises WalError."""
        self._users[name] += 1
        try:
            yield self._path(name)
        finally:
            self._drop(name)

    def records(self, name: str, *filters: str) -> t.Iterator[Record]:
        """Records that begin in one segment and end in it, as the filters of pg_waldump say (``--rmgr=XLOG``)."""
        with self.open(name) as path:
            yield from self._dump(name, path, None, filters)

    def scan(self, names: t.Iterable[str], *filters: str) -> t.Iterator[Record]:
        """Records of segments in order, oldest first, those that cross from one segment into the next as well.

        One segment alone does not show a record that ends in the next one: whoever must miss nothing uses this.
        """
        wanted = list(names)
        self._prepare()
        paths: dict[int, Future[str]] = {}

        def release(numbers: t.Iterable[int]) -> None:
            for number in numbers:
                del paths[number]
                self._drop(wanted[number])

        with contextlib.ExitStack() as held, ThreadPoolExecutor(max_workers=1) as pool:
            held.callback(lambda: release(list(paths)))
            for number, name in enumerate(wanted):
                for ahead in range(number, min(number + 3, len(wanted))):  # the third is on its way meanwhile
                    if ahead not in paths:
                        self._users[wanted[ahead]] += 1
                        paths[ahead] = pool.submit(self._path, wanted[ahead])
                following = paths[number + 1].result() if number + 1 in paths else None
                yield from self._dump(name, paths[number].result(), following, filters)
                release([number])

    def last_commit(self, names_newest_first: t.Iterable[str]) -> End | None:
        """The newest end of a transaction in these segments; None when no record is in them at all."""
        newest, following = None, None
        with contextlib.ExitStack() as held:
            for name in names_newest_first:
                opened = contextlib.ExitStack()
                path = opened.enter_context(self.open(name))
                ends = self._last_ends(name, path, following)
                if newest is None:
                    newest = self._newest_record(name, path, ends)
                held.close()  # the one after it is needed no more
                held.push(opened)
                if ends:
                    return End(max(end.time for end in ends), newest, ends[-1].lsn)
                following = path
        return End(None, newest, None) if newest is not None else None

    def find(self, kind: str, value: str, names_oldest_first: t.Iterable[str]) -> Record | None:
        """The record that ends transaction ``value`` (kind ``xid``) or is the restore point ``value`` (``name``)."""
        if kind == "name":
            points = self.scan(names_oldest_first, "--rmgr=XLOG")
            with contextlib.closing(t.cast("t.Generator[Record, None, None]", points)):
                return next((record for record in points if parse_restore_point(record) == value), None)
        xid, ends = int(value), self.scan(names_oldest_first, "--rmgr=Transaction")
        with contextlib.closing(t.cast("t.Generator[Record, None, None]", ends)):
            return next((record for record in ends if _ends(record, xid)), None)

    def _seen_here(self) -> Listing | None:
        """The listing of a directory on this host; None where that is not certainly the repository.

        ``info`` has named the first and the last segment: a directory without them is another one, or has changed.
        """
        repository = local_repository(self._backrest.settings("repo-ls"), self._repo)
        if repository is None:
            return None
        try:
            listing = list_archive(files_in_directory(os.path.join(repository, self._path_in_repository)))
        except OSError:
            return None  # pgBackRest says what is wrong with it
        known = [name for name in (self._archive.wal_min, self._archive.wal_max) if name]
        return listing if known and all(name in listing for name in known) else None

    def _told(self) -> Listing:
        """The listing that pgBackRest gives of any repository."""

        def take(pieces: t.Iterator[str]) -> Listing | ValueError:
            try:
                return list_archive(files_in_json(pieces))
            except ValueError as error:
                return error  # the failure of the program comes first

        options = {"output": "json", "recurse": True, "repo": self._repo, **_QUIET}
        found = self._backrest.read("repo-ls", options, [self._path_in_repository], take)
        if isinstance(found, ValueError):
            raise WalError(f"The answer of pgbackrest repo-ls is not understood: {found}.")
        return found

    def _last_ends(self, name: str, path: str, following: str | None) -> list[Commit]:
        """The last ends of transactions in a segment; it may have ten thousands of them."""
        lines = self._dump_lines(name, path, following, ["--rmgr=Transaction"])
        last = deque((line for line in lines if "desc: COMMIT" in line or "desc: ABORT" in line), _LAST_ENDS)
        records = filter(None, map(parse_record, last))
        return [end for end in map(parse_commit, records) if end]

    def _newest_record(self, name: str, path: str, ends: t.Sequence[Commit]) -> int | None:
        """Where the newest record of a segment begins; what comes before its last commit need not be read."""
        start = ends[-1].lsn if ends else None
        newest = None
        for record in self._dump(name, path, None, (), start):
            newest = record.lsn
        return newest

    def _dump(
        self, name: str, path: str, following: str | None, filters: t.Iterable[str], start: int | None = None
    ) -> t.Iterator[Record]:
        """Records that begin in a segment; with the segment ``following`` also the one that ends there."""
        return filter(None, map(parse_record, self._dump_lines(name, path, following, filters, start)))

    def _dump_lines(
        self, name: str, path: str, following: str | None, filters: t.Iterable[str], start: int | None = None
    ) -> t.Iterator[str]:
        size = self.segment_size
        segment = parse_segment(name, size)
        begin = segment.number * size
        end = begin + size
        with tempfile.TemporaryDirectory(dir=self._temporary()) as directory:
            os.symlink(path, os.path.join(directory, name))
            header = read_header(following) if following else None
            if following and header and header.address == end and header.continued:
                # Under the timeline of the first: pg_waldump follows one timeline, the address inside counts.
                os.symlink(following, os.path.join(directory, Segment(segment.timeline, segment.number + 1).name(size)))
                end = end_of_continuation(header)
            place = [f"--path={directory}", f"--timeline={segment.timeline}"]
            limits = [f"--start={format_lsn(begin if start is None else start)}", f"--end={format_lsn(end)}"]
            yield from self._lines([*place, *limits, *filters])

    def _lines(self, words: t.Sequence[str]) -> t.Iterator[str]:
        if self._bindir is None:
            raise WalError(f"pg_waldump of PostgreSQL {self._pg_major} is not on this host.")
        # pylint: disable-next=ansible-bad-function  # run_command cannot stream: a segment has 20 MB of text
        with subprocess.Popen(
            [os.path.join(self._bindir, "pg_waldump"), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # every segment that is not full ends with an error
            env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
            errors="surrogateescape",
            text=True,
        ) as process:
            try:
                yield from process.stdout or ()
            finally:
                process.kill()

    def _prepare(self) -> None:
        """Make what every fetch needs, once, before several threads want it."""
        if self.segment_size and self.listing().logs:
            self._cluster_path()

    def _path(self, name: str) -> str:
        if name in self.listing():
            return self._get(name)
        path = self.local_segments().get(name)
        if path is None:
            raise WalError(f"Segment {name} is neither in repository {self._repo} nor on this host.")
        return path

    def _get(self, name: str) -> str:
        """Path of a file fetched from the archive."""
        path = os.path.join(self._temporary(), name)
        with self._locks.setdefault(name, threading.Lock()):
            if not os.path.exists(path):
                # Never by way of the asynchronous spool: what lies there is for a server that recovers.
                options = {"pg1_path": self._cluster_path(), "repo": self._repo, "archive_async": False, **_QUIET}
                if self._backrest.run("archive-get", options, [name, path], ok=(0, 1)).rc == 1:
                    raise WalError(
                        f"Repository {self._repo} lists {name}, but pgbackrest archive-get does not find it."
                    )
        return path

    def _drop(self, name: str) -> None:
        """Remove a fetched segment that nobody uses any more."""
        self._users[name] -= 1
        if self._users[name] <= 0 and self._directory:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self._directory, name))

    def _places(self) -> list[str]:
        return [place for place in (os.path.join(self._pgdata, "pg_wal"), self._rescued) if place]

    def _strays(self, place: str, timeline: int) -> bool:
        """Whether a directory has another history of a timeline than the archive has: then two clusters wrote it."""
        name = f"{timeline:08X}.history"
        own = read_text(os.path.join(place, name))
        if own is None or name not in self.listing():
            return False
        return read_history(name, own) != read_history(name, read_text(self._get(name)) or "")

    def _cluster_path(self) -> str:
        """Directory whose ``pg_control`` tells pgBackRest which cluster it is asked about."""
        if self._pg_path is None:
            try:
                fits = read_control_data(self._pgdata).system_identifier == self.system_id
            except ClusterError:
                fits = False
            self._pg_path = self._pgdata if fits else self._stand_in()
        return self._pg_path

    def _stand_in(self) -> str:
        if not knows(self._pg_major):
            raise WalError(
                f"pgBackRest reads the archive only beside the data directory of its cluster. {self._pgdata} is "
                f"not that, and what PostgreSQL {self._pg_major} writes in its place is not known here."
            )
        path = os.path.join(self._temporary(), "cluster")
        write_stand_in(path, self.system_id, self._pg_major)
        return path

    def _temporary(self) -> str:
        if self._directory is None:
            ground = "/var/tmp" if os.access("/var/tmp", os.W_OK | os.X_OK) else tempfile.gettempdir()
            _remove_stale(ground)
            self._directory = tempfile.mkdtemp(prefix=_PREFIX, dir=ground)
            self._resources.callback(shutil.rmtree, self._directory, ignore_errors=True)
            descriptor = lock_directory(self._directory)
            if descriptor is not None:
                self._resources.callback(os.close, descriptor)
        return self._directory


def read_history(name: str, text: str) -> list[HistoryEntry]:
    """Entries of a timeline history file. Raises WalError."""
    try:
        return parse_history(text)
    except ValueError as error:
        raise WalError(f"The history file {name} is damaged: {error}.") from None


def _ends(record: Record, xid: int) -> bool:
    end = parse_commit(record) if record.xid in (0, xid) else None
    return end is not None and end.xid == xid


def _names(place: str) -> list[str]:
    try:
        return os.listdir(place)
    except OSError:
        return []


def _remove_stale(ground: str) -> None:
    """Remove what readers that were killed have left behind."""
    for name in os.listdir(ground):
        path = os.path.join(ground, name)
        with contextlib.suppress(OSError):
            status = os.lstat(path)
            if not name.startswith(_PREFIX) or status.st_uid != os.geteuid():
                continue
            descriptor = lock_directory(path) if status.st_mtime < time.time() - _STALE_AFTER else None
            if descriptor is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(descriptor)
