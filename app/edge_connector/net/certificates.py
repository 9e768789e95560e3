"""What a server's certificate says, for people: names, issuer, validity, and whether a company's proxy made it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

INTERCEPTORS = (
    "Zscaler", "Netskope", "Fortinet", "FortiGate", "Palo Alto", "Blue Coat", "Symantec Web", "Cisco Umbrella",
    "Sophos", "Check Point", "Barracuda", "WatchGuard", "SonicWall", "Forcepoint", "McAfee Web", "Skyhigh",
    "Kaspersky", "Avast", "ESET", "Bitdefender", "mitmproxy", "Charles Proxy", "Squid", "Untangle", "Smoothwall",
)  # fmt: skip
"""Words in the issuer of certificates that inspection products make on the fly."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A parsed leaf certificate; moments are aware and in UTC."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime

    @classmethod
    def parse(cls, der: bytes) -> Certificate:
        """Parse what `getpeercert(binary_form=True)` gave.

        Raises:
            ValueError: it is no certificate.
        """
        from cryptography import x509

        found = x509.load_der_x509_certificate(der)
        try:
            extension = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            names: list[str] = []
        else:
            names = [*extension.get_values_for_type(x509.DNSName)]
            names += [str(address) for address in extension.get_values_for_type(x509.IPAddress)]
        return cls(
            subject=found.subject.rfc4514_string(),
            issuer=found.issuer.rfc4514_string(),
            names=tuple(names),
            not_before=found.not_valid_before_utc,
            not_after=found.not_valid_after_utc,
        )


def certificate_words(certificate: Certificate) -> str:
    """Whose it is and who signed it, for a sentence."""
    return f"{certificate.names[0] if certificate.names else certificate.subject}, signed by {certificate.issuer}"


def interceptor(certificate: Certificate) -> str | None:
    """The inspection product that seems to have made the certificate, by its issuer; None when it looks like none."""
    folded = certificate.issuer.casefold()
    return next((name for name in INTERCEPTORS if name.casefold() in folded), None)
