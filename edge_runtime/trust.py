"""Whom this device trusts, from a file that may be replaced while the daemon runs.

`config` opens it; `control` asks it for each desired state and `offers` for each manifest. So keys are added and
retired by putting another keyring in place, without a restart; what is installed goes on serving.
"""

from __future__ import annotations

import logging
from pathlib import Path

from toolkit.errors import TiersError, UsageError
from toolkit.wire.document import MAX_DOCUMENT_BYTES
from toolkit.wire.keyring import Keyring, decode_keyring

log = logging.getLogger(__name__)


class Trust:
    """A keyring file and what it said when it was last whole."""

    def __init__(self, file: Path, hint: str) -> None:
        """Read the keyring.

        Args:
            file: where it lies.
            hint: what to do when it is not there.

        Raises:
            UsageError: it cannot be read.
            IntegrityError: it is damaged.
        """
        self._file, self._hint = file, hint
        self._seen = self._stamp()
        self._keyring = self._read()
        self.changes = 0
        """How often another keyring was taken since."""

    @property
    def keyring(self) -> Keyring:
        """Give whom we trust at this moment."""
        self.look()
        return self._keyring

    def look(self) -> None:
        """Take another keyring that lies there by now; a file that cannot be used changes nothing and is told once."""
        stamp = self._stamp()
        if stamp != self._seen:
            self._seen = stamp
            try:
                keyring = self._read()
            except TiersError as error:
                log.error("the keyring stays as it was: %s; %s", error.message, error.hint)  # noqa: TRY400
            else:
                log.info("another keyring: %d keys", len(keyring.keys))
                self._keyring = keyring
                self.changes += 1

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            facts = self._file.stat()
        except OSError:
            return None
        return facts.st_ino, facts.st_mtime_ns, facts.st_size

    def _read(self) -> Keyring:
        try:
            with self._file.open("rb") as stream:
                data = stream.read(MAX_DOCUMENT_BYTES + 1)
        except OSError as error:
            raise UsageError(
                f"the keyring {self._file} cannot be read: {error.strerror}", hint=self._hint
            ) from error
        return decode_keyring(data, what=str(self._file))
