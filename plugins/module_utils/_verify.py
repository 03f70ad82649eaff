# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ``pgbackrest verify`` said, and what that means for each backup and archive. Pure. Private to the collection.

The command ends with exit status 0 whatever it found, and has no JSON: its text is the only source. So nothing here is
healthy by default. A backup or archive is valid only when the text says so with counts that agree.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import asdict, dataclass, field, replace

from ._messages import Message, parse_messages
from ._problem import Problem
from ._repository import Archive, Backup, Repository, Stanza

VALID, DAMAGED, DEGRADED, DOUBTFUL, UNKNOWN = "valid", "damaged", "degraded", "doubtful", "unknown"

_SHOWN = 5  # names in a sentence; the result has more
_KEPT_FILES = 1000  # file names for each backup or archive in the result
_REASONS = {"file missing": "missing", "invalid checksum": "checksum", "invalid size": "size"}
_REASONS["invalid result"] = "other"
_ENTRY = re.compile(
    r"  (?:archiveId: (?P<archive>[^,]+), total WAL checked: (?P<wal>\d+), total valid WAL: (?P<valid_wal>\d+)"
    r"|backup: (?P<backup>[^,]+), status: (?P<status>[^,]+), total files checked: (?P<files>\d+), "
    r"total valid files: (?P<valid_files>\d+))"
)
_COUNTS = re.compile(r"    missing: (\d+), checksum invalid: (\d+), size invalid: (\d+), other: (\d+)")
_QUOTED_FILE = re.compile(rf"(?P<kind>{'|'.join(_REASONS)}) '(?P<path>.*)'")
_OTHER_FILE = re.compile(r"(?P<kind>invalid result) (?P<path>.*?): (?P<detail>\[\d+\] .*)")
_RANGE = re.compile(r"archiveId: (\S+), wal start: ([0-9A-F]{24}), wal stop: ([0-9A-F]{24})")
# What the result tells as well, and what the comparison with info finds where it matters.
_TOLD_OTHERWISE = re.compile(
    r"verify command end.*|stanza: .*|manifest missing for .*|no (?:backups|archives) exist in the repo"
    r"|no archives or backups exist in the repo|archive path '.*' is empty"
)
_LABEL = r"(?P<label>\d{8}-\d{6}F(?:_\d{8}-\d{6}[DI])?)"
_MANIFEST_COPY = [
    re.compile(pattern)
    for pattern in (
        rf"{_LABEL}/backup\.manifest is missing or unusable, using copy",
        rf"backup '{_LABEL}' manifest\.copy does not match manifest",
        rf"unable to open missing file '.*/{_LABEL}/backup\.manifest(?:\.copy)?' for read",
        rf"invalid checksum, .*/{_LABEL}/backup\.manifest(?:\.copy)?",
    )
]
_IN_PROGRESS = re.compile(rf"backup '{_LABEL}' appears to be in progress, skipping")


@dataclass(frozen=True)
class Entry:
    """What the text says of one backup or archive. ``status`` is pgBackRest's word, None for an archive."""

    name: str
    status: str | None
    checked: int
    valid: int
    missing: int = 0
    checksum: int = 0
    size: int = 0
    other: int = 0

    def bad(self) -> int:
        """Number of files that are not as they should be."""
        return self.missing + self.checksum + self.size + self.other

    def is_valid(self) -> bool:
        """Whether the text positively says that everything was checked and good."""
        return self.status in (None, "valid") and 0 < self.checked == self.valid and not self.bad()


@dataclass
class Answer:
    """The text of one run, taken apart. ``status`` is None when there is no result in it."""

    status: str | None = None
    backups: dict[str, Entry] = field(default_factory=dict)
    archives: dict[str, Entry] = field(default_factory=dict)
    ranges: list[tuple[str, str, str]] = field(default_factory=list)
    files: list[dict[str, str]] = field(default_factory=list)
    copies: dict[str, str] = field(default_factory=dict)
    in_progress: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def files_of(self, name: str) -> list[dict[str, str]]:
        """Files that lie in this backup or archive and are not as they should be."""
        return [file for file in self.files if file["path"].startswith(f"{name}/")]


def parse_verify(lines: t.Sequence[str], stanza: str) -> Answer:
    """The output of ``verify --output=text --verbose`` with messages of level detail on the console."""
    answer = Answer()
    start = max((number for number, line in enumerate(lines) if line == f"stanza: {stanza}"), default=len(lines))
    end = start + 1
    while end < len(lines) and lines[end].startswith((" ", "status: ")):
        end += 1
    _take_result(answer, lines[start + 1 : end])
    begun = False
    for message in parse_messages("\n".join([*lines[:start], *lines[end:]])):
        if message.text.startswith("verify command begin"):
            begun = True
        elif begun:
            _take_message(answer, message)
        elif message.level == "WARN":  # about the configuration
            answer.warnings.append(message.text)
    return answer


def _take_result(answer: Answer, lines: t.Sequence[str]) -> None:
    entries, name = answer.backups, ""  # what the next line with counts belongs to
    for line in lines:
        entry, counts = _ENTRY.fullmatch(line), _COUNTS.fullmatch(line)
        if line in ("status: ok", "status: error") and answer.status is None:
            answer.status = line[len("status: ") :]
        elif entry and entry.group("archive"):
            name = entry.group("archive")
            entries = answer.archives
            entries[name] = Entry(name, None, int(entry.group("wal")), int(entry.group("valid_wal")))
        elif entry:
            name = entry.group("backup")
            numbers = int(entry.group("files")), int(entry.group("valid_files"))
            entries = answer.backups
            entries[name] = Entry(name, entry.group("status"), *numbers)
        elif counts and name in entries:
            missing, checksum, size, other = map(int, counts.groups())
            entries[name] = replace(entries[name], missing=missing, checksum=checksum, size=size, other=other)
            name = ""
        elif line.strip() not in ("archiveId: none found", "backup: none found"):
            answer.unknown.append(_readable(line))


def _take_message(answer: Answer, message: Message) -> None:
    text = message.text
    file = _QUOTED_FILE.fullmatch(text) or _OTHER_FILE.fullmatch(text)
    wal = _RANGE.fullmatch(text)
    copy = next((found for found in (pattern.fullmatch(text) for pattern in _MANIFEST_COPY) if found), None)
    progress = _IN_PROGRESS.fullmatch(text)
    if file:
        detail = {"detail": _readable(file.group("detail"))} if "detail" in file.groupdict() else {}
        answer.files.append({"path": file.group("path"), "reason": _REASONS[file.group("kind")], **detail})
    elif wal:
        answer.ranges.append((wal.group(1), wal.group(2), wal.group(3)))
    elif copy:
        answer.copies.setdefault(copy.group("label"), _readable(text))
    elif progress:
        answer.in_progress.append(progress.group("label"))
    elif not _TOLD_OTHERWISE.fullmatch(text):
        answer.remarks.append(_readable(text))


def _readable(text: str) -> str:
    """A message without what a damaged or wrongly decrypted file put into it."""
    clean = "".join(letter if letter.isprintable() else "?" for letter in text.strip())
    return clean if len(clean) <= 200 else f"{clean[:200]}…"


@dataclass(frozen=True)
class Gap:
    """WAL segments that are not there: ``after`` is the last one before the hole, ``before`` the first one behind it.

    ``first`` and ``last`` are the missing ones, None where their names depend on the size of the segments.
    """

    archive_id: str
    after: str
    before: str
    first: str | None
    last: str | None
    by_retention: bool = False

    def text(self) -> str:
        """The missing segments in words."""
        if self.first is None or self.last is None:
            return f"the segments between {self.after} and {self.before}"
        return self.first if self.first == self.last else f"{self.first} to {self.last}"


def find_gaps(ranges: t.Sequence[tuple[str, str, str]]) -> list[Gap]:
    """Holes between the ranges of each archive. A new timeline begins at or before the end of what came before it.

    >>> find_gaps([("15-1", "000000010000000000000001", "000000010000000000000003"),
    ...            ("15-1", "000000020000000000000003", "000000020000000000000005")])
    []
    """
    result = []
    highest: dict[str, str] = {}  # place in the WAL that each archive has reached on any timeline
    last: dict[str, str] = {}
    for archive_id, start, stop in ranges:
        reached, before = highest.get(archive_id), last.get(archive_id)
        if reached and before and start[8:] > reached and not _follows(reached, start[8:]):
            result.append(_gap(archive_id, f"{start[:8]}{reached}" if start[:8] == before[:8] else before, start))
        highest[archive_id] = max(stop[8:], reached or "")
        last[archive_id] = stop
    return result


def _follows(place: str, other: str) -> bool:
    """Whether ``other`` may be the next place: within one log file it is, at the start of the next one it may be."""
    if place[:8] == other[:8]:
        return int(other[8:], 16) == int(place[8:], 16) + 1
    return int(other[:8], 16) == int(place[:8], 16) + 1 and int(other[8:], 16) == 0


def _gap(archive_id: str, after: str, before: str) -> Gap:
    if after[:16] != before[:16]:
        return Gap(archive_id, after, before, None, None)
    first, last = int(after[16:], 16) + 1, int(before[16:], 16) - 1
    return Gap(archive_id, after, before, f"{after[:16]}{first:08X}", f"{after[:16]}{last:08X}")


@dataclass
class Verdict:
    """What one repository is worth. ``backups`` and ``archives`` are records for the result of the module."""

    repo_key: int
    verdict: str
    backups: list[dict[str, t.Any]]
    archives: list[dict[str, t.Any]]
    problems: list[Problem]
    notes: list[str]

    def to_dict(self) -> dict[str, t.Any]:
        """The verdict as module result."""
        return {**asdict(self), "problems": [problem.text() for problem in self.problems]}


def assess(
    answer: Answer, stanza: Stanza, repository: Repository, label: str | None = None, gaps_by_retention: bool = False
) -> Verdict:
    """The verdict on one repository. ``stanza`` is what ``info`` lists there; with ``label`` only that backup counts.

    ``gaps_by_retention`` says that retention options may remove WAL between backups (repo-retention-archive).
    """
    key = repository.key
    wanted = [b for b in stanza.backups if b.repo_key == key and label in (None, b.label)]
    archive_ids = {archive.database_id: archive.id for archive in stanza.archives if archive.repo_key == key}
    gaps = _judged_gaps(answer, wanted, archive_ids, gaps_by_retention, label)
    backups = [_backup(backup, answer, archive_ids.get(backup.database_id), gaps) for backup in wanted]
    archives = [_archive(a, answer, gaps) for a in _wanted_archives(stanza, key, wanted, label)]
    good = [backup for backup, record in zip(wanted, backups) if record["verdict"] in (VALID, DEGRADED)]
    problems = [
        *(_no_result(answer, key, wanted) or _not_verified([*backups, *archives], key)),
        *(problem for record in backups for problem in _backup_problems(record, key)),
        *(problem for record in archives for problem in _archive_problems(record, key, good)),
    ]
    problems += _unexplained(answer, key, problems)
    verdict = _verdict([*backups, *archives], problems)
    return Verdict(key, verdict, backups, archives, problems, _notes(answer, wanted, gaps))


def failed(repository: Repository, reason: str) -> Verdict:
    """The verdict on a repository in which nothing could be verified."""
    problem = Problem("no_verdict", reason, "Nothing was verified in it.")
    return Verdict(repository.key, UNKNOWN, [], [], [problem], [])


def _wanted_archives(stanza: Stanza, key: int, wanted: t.Sequence[Backup], label: str | None) -> list[Archive]:
    """Archives that must be in the text: those with WAL, and with ``label`` only the one that this backup needs."""
    databases = {backup.database_id for backup in wanted if backup.wal_start}
    return [
        archive
        for archive in stanza.archives
        if archive.repo_key == key and archive.wal_min and (label is None or archive.database_id in databases)
    ]


def _judged_gaps(
    answer: Answer, backups: t.Sequence[Backup], ids: t.Mapping[int, str], by_retention: bool, label: str | None
) -> list[Gap]:
    """Gaps that matter: behind the beginning of the oldest backup of their archive. Retention may explain some."""
    result = []
    for gap in find_gaps(answer.ranges):
        own = [b for b in backups if ids.get(b.database_id) == gap.archive_id and b.wal_start and b.wal_stop]
        if label is None and own and gap.before[8:] <= min((b.wal_start or "")[8:] for b in own):
            continue
        # Retention keeps exactly what an older backup needs, and everything from the start of a younger one on.
        exact = any(b.wal_stop == gap.after for b in own) and any(b.wal_start == gap.before for b in own)
        result.append(replace(gap, by_retention=by_retention and exact))
    return result


def _backup(backup: Backup, answer: Answer, archive_id: str | None, gaps: t.Sequence[Gap]) -> dict[str, t.Any]:
    entry = answer.backups.get(backup.label)
    lost = _lost_wal(backup, answer, archive_id, gaps)
    through = [
        name
        for name in backup.references
        if any(bad["path"].startswith(f"{name}/bundle/") for bad in answer.files_of(name))
    ]
    if entry is None:
        verdict = UNKNOWN
    elif backup.error or lost or not entry.is_valid():
        verdict = DAMAGED
    else:
        # Where files lie in bundles, pgBackRest (seen in 2.55.1 and 2.60.0) calls a backup valid although files that it
        # takes from an older one are gone.
        verdict = DOUBTFUL if through else DEGRADED if backup.label in answer.copies else VALID
    files = answer.files_of(backup.label)
    return {
        "label": backup.label,
        "verdict": verdict,
        "status": entry.status if entry else None,
        **_counts(entry),
        "files": files[:_KEPT_FILES],
        "through": through if verdict == DOUBTFUL else [name for name in backup.references if answer.files_of(name)],
        "missing_wal": lost,
        "page_checksum_errors": bool(backup.error),
        "manifest": answer.copies.get(backup.label),
    }


def _counts(entry: Entry | None) -> dict[str, int]:
    names = ("checked", "valid", "missing", "checksum", "size", "other")
    return {name: getattr(entry, name) if entry else 0 for name in names}


def _lost_wal(backup: Backup, answer: Answer, archive_id: str | None, gaps: t.Sequence[Gap]) -> list[str]:
    """WAL that this backup needs to become consistent and that is gone or damaged."""
    start, stop = backup.wal_start, backup.wal_stop
    if not start or not stop:
        return []  # an offline backup needs none
    bad = [segment for segment in _segments(answer, archive_id) if start <= segment <= stop]
    inside = [(low, high) for name, low, high in answer.ranges if name == archive_id and low <= start and stop <= high]
    if inside:
        return bad
    holes = [gap.text() for gap in gaps if gap.archive_id == archive_id and gap.after < stop and start < gap.before]
    return [*bad, *(holes or [start if start == stop else f"{start} to {stop}"])]


def _segments(answer: Answer, archive_id: str | None) -> list[str]:
    """Names of the damaged WAL segments of an archive."""
    return [file["path"].rpartition("/")[2][:24] for file in answer.files_of(archive_id)] if archive_id else []


def _archive(archive: Archive, answer: Answer, gaps: t.Sequence[Gap]) -> dict[str, t.Any]:
    entry = answer.archives.get(archive.id)
    own = [gap for gap in gaps if gap.archive_id == archive.id]
    if entry is None:
        verdict = UNKNOWN
    else:
        verdict = VALID if entry.is_valid() and all(gap.by_retention for gap in own) else DAMAGED
    files = answer.files_of(archive.id)
    return {
        "id": archive.id,
        "verdict": verdict,
        **_counts(entry),
        "segments": [{**file, "segment": file["path"].rpartition("/")[2][:24]} for file in files[:_KEPT_FILES]],
        "gaps": [{**asdict(gap), "missing": gap.text()} for gap in own],
    }


def _no_result(answer: Answer, key: int, wanted: t.Sequence[Backup]) -> list[Problem]:
    if answer.status is None or (answer.unknown and answer.status == "ok" and answer.backups):
        said = f" It said: {'; '.join(answer.unknown)}." if answer.unknown else ""
        sentence = f"Repository {key}: pgbackrest verify gave no result that can be read, so there is no verdict.{said}"
        return [Problem("no_verdict", sentence, _BY_HAND)]
    if answer.unknown and not answer.backups and not answer.archives:
        said = "; ".join(answer.unknown)
        if answer.status == "error":
            return [Problem("info_files", f"Repository {key}: {said}.", _INFO_FILES_HINT)]
    if not wanted:
        return [Problem("no_backup", f"Repository {key} holds no backup.", "Take one with pgops.pgbackrest.backup.")]
    return []


def _not_verified(records: t.Sequence[t.Mapping[str, t.Any]], key: int) -> list[Problem]:
    """A problem for backups and archives that pgBackRest did not mention, if any."""
    names = [record.get("label") or record["id"] for record in records if record["verdict"] == UNKNOWN]
    sentence = f"Repository {key}: pgBackRest verified nothing of {_named(names)}, which info lists."
    hint = "Run the module again. If it stays, look whether the files are still in the repository."
    return [Problem("no_verdict", sentence, hint)] if names else []


_BY_HAND = "Run pgbackrest verify by hand with --output=text --verbose and look at its messages."
_INFO_FILES_HINT = (
    "Check the passphrase first. If it is right, the files are damaged: save the repository as it is, bring them back "
    "from a copy of the repository, or take the next backup into a new one."
)


def _backup_problems(record: t.Mapping[str, t.Any], key: int) -> list[Problem]:
    label, where = record["label"], f"Repository {key}: backup {record['label']}"
    renew = "Do not count on it: take a new full backup, and use another backup or repository for a restore."
    if record["verdict"] == DEGRADED:
        sentence = f"{where} can still be restored, but its manifest or the copy of it is damaged or missing"
        return [Problem("manifest", f"{sentence} ({record['manifest']}).", "Take a new backup soon.")]
    if record["verdict"] == DOUBTFUL:
        source = ", ".join(record["through"])
        sentence = f"{where} takes files from {source}, which is damaged; pgBackRest does not say whether these."
        return [Problem("depends_on_damaged", sentence, renew)]
    if record["verdict"] in (VALID, UNKNOWN):
        return []
    return [Problem("backup_damaged", f"{where} is invalid: {_why(record, label)}.", renew)]


def _why(record: t.Mapping[str, t.Any], label: str) -> str:
    """Why a backup is damaged, in words."""
    parts = []
    bad = sum(record[name] for name in ("missing", "checksum", "size", "other"))
    if bad:
        own = _named([f"{file['path'][len(label) + 1 :]} ({file['reason']})" for file in record["files"]])
        where = f": {own}" if own else f" in {', '.join(record['through'])}" if record["through"] else ""
        parts.append(f"{bad} of {record['checked']} files are missing or damaged{where}")
    elif record["status"] == "manifest missing":
        parts.append("backup.manifest and its copy are missing")
    elif record["status"] != "valid" and not record["checked"]:
        parts.append("backup.manifest and its copy cannot be read")
    elif record["status"] != "valid" or record["checked"] != record["valid"] or not record["checked"]:
        parts.append(f"pgBackRest says {record['status']}, {record['valid']} of {record['checked']} files are valid")
    if record["missing_wal"]:
        parts.append(f"WAL that it needs is missing or damaged: {_named(record['missing_wal'])}")
    if record["page_checksum_errors"]:
        parts.append("pages with wrong checksums were found when it was taken")
    return "; ".join(parts)


def _named(names: t.Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join([*names[:_SHOWN], *([f"and {more} more"] if more > 0 else [])])


def _archive_problems(record: t.Mapping[str, t.Any], key: int, backups: t.Sequence[Backup]) -> list[Problem]:
    if record["verdict"] == UNKNOWN:
        return []
    where = f"Repository {key}: archive {record['id']}"
    result = []
    bad = sum(record[name] for name in ("missing", "checksum", "size", "other"))
    if bad or record["checked"] != record["valid"]:
        names = _named([f"{file['segment']} ({file['reason']})" for file in record["segments"]])
        count = bad or record["checked"] - record["valid"]
        sentence = f"{where}: {count} of {record['checked']} WAL segments are damaged: {names or 'not named'}."
        end = max((file["segment"] for file in record["segments"]), default="")
        result.append(Problem("wal_damaged", sentence, _wal_hint(end, backups)))
    elif not record["checked"]:
        result.append(Problem("no_verdict", f"{where}: no WAL was checked.", "Run the module again."))
    result += [
        Problem("wal_gap", f"{where}: WAL is missing: {gap['missing']}.", _wal_hint(gap["before"], backups))
        for gap in record["gaps"]
        if not gap["by_retention"]
    ]
    return result


def _wal_hint(end: str, backups: t.Sequence[Backup]) -> str:
    """What a hole in the WAL that ends here means."""
    behind = [backup for backup in backups if (backup.wal_start or "")[8:] >= end[8:]]
    if behind:
        first = min(behind, key=lambda backup: backup.stop)
        return f"No moment from there until the end of backup {first.label} can be reached; after it, everything can."
    return "No later moment can be reached from any backup: take a new backup now, and find out why the WAL is gone."


def _unexplained(answer: Answer, key: int, problems: t.Sequence[Problem]) -> list[Problem]:
    """Problems for what pgBackRest remarked or called an error where nothing else accounts for it."""
    if any(problem.code in ("info_files", "backup_damaged", "manifest") for problem in problems):
        return []
    if answer.remarks:
        sentence = f"Repository {key}: pgBackRest remarked: {_named(answer.remarks)}."
        hint = (
            "backup.info, archive.info or a copy of them may be damaged or missing. The next backup writes them anew."
        )
        return [Problem("remark", sentence, hint)]
    if answer.status == "error" and not problems:
        sentence = f"Repository {key}: pgBackRest calls it an error, but names nothing that this module understands."
        return [Problem("no_verdict", sentence, _BY_HAND)]
    return []


def worst(verdicts: t.Collection[str]) -> str:
    """The verdict that says it for all.

    >>> worst(["valid", "degraded", "unknown"]), worst([])
    ('unknown', 'unknown')
    """
    return next((verdict for verdict in (DAMAGED, DOUBTFUL, UNKNOWN, DEGRADED, VALID) if verdict in verdicts), UNKNOWN)


def _verdict(records: t.Sequence[t.Mapping[str, t.Any]], problems: t.Sequence[Problem]) -> str:
    """The worst verdict of backups and archives, or what problems of the repository itself make of it."""
    found = {record["verdict"] for record in records}
    codes = {problem.code for problem in problems}
    if codes & {"info_files", "remark"}:
        found.add(DAMAGED)
    if codes & {"no_verdict", "no_backup"}:
        found.add(UNKNOWN)
    return worst(found)


def _notes(answer: Answer, backups: t.Sequence[Backup], gaps: t.Sequence[Gap]) -> list[str]:
    """What somebody may want to know although it is no failure."""
    known = {backup.label for backup in backups}
    left = [name for name, entry in answer.backups.items() if name not in known and name not in answer.in_progress]
    result = [f"Backup {name} is being taken or was interrupted, and was not verified." for name in answer.in_progress]
    result += [f"{name} lies in the repository, but info does not list it: it is of no use." for name in left]
    result += [f"Retention has removed {gap.text()} of archive {gap.archive_id}." for gap in gaps if gap.by_retention]
    return result


def surviving(before: Stanza, after: Stanza) -> Stanza:
    """What ``info`` listed both before and after a verification: the rest was expired while it ran."""
    left = {(backup.repo_key, backup.label) for backup in after.backups}
    archives = {(archive.repo_key, archive.id): archive for archive in after.archives}
    return replace(
        before,
        backups=[backup for backup in before.backups if (backup.repo_key, backup.label) in left],
        archives=[archives[a.repo_key, a.id] for a in before.archives if (a.repo_key, a.id) in archives],
    )


def without_expired_wal(answer: Answer, stanza: Stanza, repo_key: int) -> Answer:
    """The answer without WAL that is missing because it was expired while the verification ran."""
    first = {a.id: a.wal_min for a in stanza.archives if a.repo_key == repo_key and a.wal_min}

    def expired(file: t.Mapping[str, str]) -> bool:
        archive_id, segment = file["path"].partition("/")[0], file["path"].rpartition("/")[2][:24]
        return file["reason"] == "missing" and archive_id in first and segment < (first[archive_id] or "")

    gone = [file for file in answer.files if expired(file)]
    archives = dict(answer.archives)
    for file in gone:
        name = file["path"].partition("/")[0]
        entry = archives[name]
        archives[name] = replace(entry, checked=entry.checked - 1, missing=entry.missing - 1)
    return replace(answer, archives=archives, files=[file for file in answer.files if file not in gone])
