"""A site's authority and devices that it has enrolled, for tests of who says what."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from toolkit.fleet.authority import make_authority, open_authority
from toolkit.link.identity import read_private_key, request_identity
from toolkit.link.spoken import Signer

NOW = datetime.now(timezone.utc)


class Enrolled:
    """An authority in a folder."""

    def __init__(self, folder: Path, site: str = "north") -> None:
        make_authority(folder / "authority", site, NOW)
        self.folder, self.authority_file = folder, folder / "authority" / "ca.crt"
        self.authority, self.register = open_authority(folder / "authority", site)

    def files(self, device: str, *, days: float = 30, now: datetime = NOW, hosts: tuple[str, ...] = ()):
        """Enroll a device; give the files of its certificate and its key."""
        key_file, certificate_file = (self.folder / f"{device}.{each}" for each in ("key", "crt"))
        request_identity(device, key_file, self.folder / f"{device}.csr")
        public = read_private_key(key_file).public_key()
        certificate = self.authority.sign(device, public, days, now, hosts=hosts)
        certificate_file.write_bytes(certificate.public_bytes(Encoding.PEM))
        return certificate_file, key_file

    def signer(self, device: str, **how: object) -> Signer:
        """Enroll a device, and give what signs for it."""
        return Signer(*self.files(device, **how))  # type: ignore[arg-type]
