"""Trust for outgoing connections: the system's certificate authorities plus one file of the operator's own."""

from __future__ import annotations

import ssl
from pathlib import Path

from edge_connector.core.errors import UserError


def client_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """A verifying TLS client context.

    Raises:
        UserError: `ca_file` cannot be read or holds no certificate.
    """
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise UserError(
                "ca_file_unusable",
                f"caFile {ca_file} cannot be used: {error}.",
                hint="Set EC_CA_FILE to a PEM file with the certificate authority's certificate.",
            ) from error
    return context
