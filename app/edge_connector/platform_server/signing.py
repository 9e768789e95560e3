"""The platform's own signing key and the session tokens (JWT, EdDSA) that it makes and checks. It knows no users."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from edge_connector.core.errors import UserError
from edge_connector.core.files import explain_os_error, write_atomically
from edge_connector.platform_api.models import Jwk, Jwks

ALGORITHM = "EdDSA"


class SigningKey:
    """One Ed25519 key; its id is the RFC 7638 thumbprint."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self._public = private.public_key()
        raw = self._public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
        canonical = f'{{"crv":"Ed25519","kty":"OKP","x":"{self._x}"}}'.encode()
        self.key_id = base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()

    @classmethod
    def load_or_create(cls, path: Path) -> SigningKey:
        """The key kept in `path`, made there (mode 0600) the first time.

        Raises:
            UserError: the file cannot be read or written, or holds no Ed25519 key.
        """
        with explain_os_error(path):
            if not path.exists():
                private = Ed25519PrivateKey.generate()
                pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
                write_atomically(path, pem, mode=0o600)
                return cls(private)
            data = path.read_bytes()
        try:
            loaded = load_pem_private_key(data, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise _bad_key(path) from error
        if not isinstance(loaded, Ed25519PrivateKey):
            raise _bad_key(path)
        return cls(loaded)

    def jwks(self) -> Jwks:
        """The public half, as it is published."""
        return Jwks(keys=[Jwk(kty="OKP", crv="Ed25519", x=self._x, kid=self.key_id)])

    def sign(self, claims: dict[str, Any]) -> str:
        """A compact JWT with these claims."""
        return jwt.encode(claims, self._private, algorithm=ALGORITHM, headers={"kid": self.key_id})

    def verify(self, token: str, *, also_expired: bool = False) -> dict[str, Any] | None:
        """The claims, or None when the token is not ours, has expired, or lacks `sub`, `orgId` or `exp`."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._public,
                algorithms=[ALGORITHM],
                options={"require": ["sub", "orgId", "exp"], "verify_exp": not also_expired},
            )
        except jwt.PyJWTError:
            return None
        return claims


def _bad_key(path: Path) -> UserError:
    return UserError(
        "bad_signing_key",
        f"{path} holds no Ed25519 private key.",
        hint="Restore it from a backup; moving it away makes a new key and ends all session tokens.",
    )
