"""From the TLS settings of a broker to a context that Python's ssl can use; TLS 1.2 is the least that we speak."""

from __future__ import annotations

import ssl

from toolkit.errors import UnreachableError
from toolkit.link.settings import TlsSettings


def tls_context(tls: TlsSettings) -> ssl.SSLContext:
    """Load authorities, certificate and key.

    Raises:
        UnreachableError: a file cannot be read or is not what it should be.
    """
    try:
        context = ssl.create_default_context(cafile=tls.ca_file or None)
        if tls.certificate_file:
            context.load_cert_chain(tls.certificate_file, tls.key_file or None)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(filter(None, (tls.ca_file, tls.certificate_file, tls.key_file)))
        message = f"the TLS files of the broker ({files}) cannot be used: {error}"
        raise UnreachableError(
            message, hint="check that they are PEM files which this user may read"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
