"""Session tokens: made and checked with the platform's own key, kept in a private file."""

from __future__ import annotations

import time
from pathlib import Path

import jwt
import pytest

from edge_connector.core.errors import UserError
from edge_connector.platform_server.signing import SigningKey

CLAIMS = {"sub": "usr_1", "orgId": "org_1"}


def test_the_key_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    made, again = SigningKey.load_or_create(path), SigningKey.load_or_create(path)
    assert made.key_id == again.key_id
    assert path.stat().st_mode & 0o777 == 0o600
    token = made.sign({**CLAIMS, "exp": int(time.time()) + 60})
    claims = again.verify(token)
    assert claims is not None
    assert claims["sub"] == "usr_1"


def test_foreign_expired_and_incomplete_tokens_are_not_taken(tmp_path: Path) -> None:
    own = SigningKey.load_or_create(tmp_path / "own.pem")
    foreign = SigningKey.load_or_create(tmp_path / "foreign.pem")
    later = int(time.time()) + 60
    assert own.verify(foreign.sign({**CLAIMS, "exp": later})) is None
    assert own.verify(own.sign({**CLAIMS, "exp": later - 120})) is None
    assert own.verify(own.sign({"sub": "usr_1", "exp": later})) is None
    assert own.verify(own.sign(CLAIMS)) is None
    assert own.verify("not a token") is None
    unsigned = jwt.encode({**CLAIMS, "exp": later}, "", algorithm="none")
    assert own.verify(unsigned) is None
    by_public_key = jwt.encode({**CLAIMS, "exp": later}, own.jwks().keys[0].x + "=" * 32, algorithm="HS256")
    assert own.verify(by_public_key) is None


def test_a_broken_key_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("nonsense")
    with pytest.raises(UserError) as error:
        SigningKey.load_or_create(path)
    assert error.value.code == "bad_signing_key"
    assert str(path) in error.value.message
